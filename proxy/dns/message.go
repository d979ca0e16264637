package dns

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// query is what counts of a query.
type query struct {
	id       uint16
	question dns.Question // the name as it was written, in whatever case
}

// Errors of queries that are no use to a resolver.
var (
	errNotQuery  = errors.New("not a query with one question")
	errMalformed = errors.New("malformed message")
)

const headerLen = 12 // RFC 1035, 4.1.1

// parseQuery reads a query. One that has more or fewer questions than one is
// refused, since nobody could say which name the rules are to judge.
func parseQuery(message []byte) (query, error) {
	var m dns.Msg
	if len(message) < headerLen || m.Unpack(message) != nil {
		return query{}, errMalformed
	}
	if m.Response || m.Opcode != dns.OpcodeQuery || len(m.Question) != 1 {
		return query{id: m.Id}, errNotQuery
	}
	return query{m.Id, m.Question[0]}, nil
}

// refusal is the answer to a query that goes no further.
func refusal(message []byte, code int) []byte {
	if len(message) < headerLen {
		return nil
	}
	var asked dns.Msg
	reply := new(dns.Msg)
	if asked.Unpack(message) == nil {
		reply.SetRcode(&asked, code)
		if opt := asked.IsEdns0(); opt != nil {
			reply.SetEdns0(opt.UDPSize(), opt.Do())
		}
	} else {
		reply.Id = uint16(message[0])<<8 | uint16(message[1])
		reply.Response, reply.Rcode = true, code
	}
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// withID puts an ID in place of a message's.
func withID(message []byte, id uint16) []byte {
	message[0], message[1] = byte(id>>8), byte(id)
	return message
}

func idOf(message []byte) uint16 { return uint16(message[0])<<8 | uint16(message[1]) }

// found is what an answer says of the name that was asked for.
type found struct {
	addrs []netip.Addr
	ttl   time.Duration // the least on the way
}

// parseAnswer reads an answer to a question. One to another question, which a
// resolver that can be trusted does not send, is an error.
func parseAnswer(message []byte, asked dns.Question) (found, error) {
	var m dns.Msg
	if len(message) < headerLen || m.Unpack(message) != nil {
		return found{}, errMalformed
	}
	if !m.Response || len(m.Question) > 1 || len(m.Question) == 1 && !sameQuestion(m.Question[0], asked) {
		return found{}, errors.New("not an answer to the question")
	}
	if m.Rcode != dns.RcodeSuccess {
		return found{}, nil
	}
	return follow(m.Answer, asked.Name), nil
}

// sameQuestion compares names as RFC 4343 says; a resolver that keeps the case
// (the "0x20" of draft-vixie-dnsext-dns0x20) is for the client to check.
func sameQuestion(a, b dns.Question) bool {
	return strings.EqualFold(a.Name, b.Name) && a.Qtype == b.Qtype && a.Qclass == b.Qclass
}

// follow collects the addresses of a name, through the aliases of this one
// answer. Records of other names do not count.
func follow(records []dns.RR, name string) found {
	names := map[string]bool{strings.ToLower(name): true}
	ttl := uint32(1<<32 - 1)
	for grown := true; grown; {
		grown = false
		for _, r := range records {
			alias, ok := r.(*dns.CNAME)
			if ok && names[strings.ToLower(alias.Hdr.Name)] && !names[strings.ToLower(alias.Target)] {
				names[strings.ToLower(alias.Target)] = true
				ttl = min(ttl, alias.Hdr.Ttl)
				grown = true
			}
		}
	}
	var f found
	for _, r := range records {
		if !names[strings.ToLower(r.Header().Name)] {
			continue
		}
		if addrs := addressesOf(r); len(addrs) > 0 {
			f.addrs = append(f.addrs, addrs...)
			ttl = min(ttl, r.Header().Ttl)
		}
	}
	f.ttl = time.Duration(ttl) * time.Second
	return f
}

// addressesOf are the addresses in a record: those of A and AAAA, and the hints
// of SVCB and HTTPS, which clients use without asking further (RFC 9460, 7.3).
func addressesOf(r dns.RR) []netip.Addr {
	var addrs []netip.Addr
	add := func(ip []byte) {
		if addr, ok := netip.AddrFromSlice(ip); ok && !addr.Unmap().IsUnspecified() {
			addrs = append(addrs, addr.Unmap())
		}
	}
	switch r := r.(type) {
	case *dns.A:
		add(r.A)
	case *dns.AAAA:
		add(r.AAAA)
	case *dns.HTTPS:
		return hintsOf(&r.SVCB)
	case *dns.SVCB:
		return hintsOf(r)
	}
	return addrs
}

func hintsOf(r *dns.SVCB) []netip.Addr {
	var addrs []netip.Addr
	for _, parameter := range r.Value {
		switch hint := parameter.(type) {
		case *dns.SVCBIPv4Hint:
			for _, ip := range hint.Hint {
				if addr, ok := netip.AddrFromSlice(ip); ok {
					addrs = append(addrs, addr.Unmap())
				}
			}
		case *dns.SVCBIPv6Hint:
			for _, ip := range hint.Hint {
				if addr, ok := netip.AddrFromSlice(ip); ok {
					addrs = append(addrs, addr)
				}
			}
		}
	}
	return addrs
}
