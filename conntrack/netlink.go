package conntrack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane"
	"github.com/bulkhead-dev/bulkhead/dataplane/attr"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// From the kernel's nfnetlink_conntrack.h.
const (
	msgNew = 0
	msgGet = 1

	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaZone       = 18
	ctaLabels     = 22
	ctaLabelsMask = 23
	ctaFilter     = 25

	ctaTupleIP    = 1
	ctaTupleProto = 2

	ctaIPv4Src = 1
	ctaIPv4Dst = 2
	ctaIPv6Src = 3
	ctaIPv6Dst = 4

	ctaProtoNum        = 1
	ctaProtoSrcPort    = 2
	ctaProtoDstPort    = 3
	ctaProtoICMPType   = 5
	ctaProtoICMPCode   = 6
	ctaProtoICMPv6Type = 8
	ctaProtoICMPv6Code = 9

	ctaFilterOrigFlags  = 1
	ctaFilterReplyFlags = 2
	filterIPSource      = 1 << 0
)

// A dump of 10,000 connections is 3 MB, which the kernel writes as it is read, in
// pieces of up to 32 KB if the reader has shown that it takes them. The errors of
// as many updates come at once.
const (
	sendBuffer    = 4 << 20
	receiveBuffer = 16 << 20
	messageBuffer = 64 << 10
)

func dial(netns int) (*netlink.Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns, MessageBufferSize: messageBuffer})
	if err != nil {
		return nil, fmt.Errorf("open conntrack socket: %w", err)
	}
	if err := errors.Join(conn.SetWriteBuffer(sendBuffer), conn.SetReadBuffer(receiveBuffer)); err != nil {
		return nil, errors.Join(fmt.Errorf("set size of conntrack socket's buffers: %w", err), conn.Close())
	}
	return conn, nil
}

func message(kind uint16, flags netlink.HeaderFlags, family byte, body attr.List) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_CTNETLINK<<8 | kind),
			Flags: netlink.Request | flags,
		},
		Data: append([]byte{family, unix.NFNETLINK_V0, 0, 0}, body...),
	}
}

// List is the connections of all addresses.
func (t *Table) List(ctx context.Context) ([]Conn, error) { return t.list(ctx, nil) }

// list is the connections that one of the addresses opened or answers, or all of
// them if addrs is nil.
func (t *Table) list(ctx context.Context, addrs []netip.Addr) ([]Conn, error) {
	if addrs == nil {
		return t.dump(ctx, unix.AF_UNSPEC, nil)
	}
	var all []Conn
	seen := map[string]bool{} // both ends may be asked for
	for _, addr := range addrs {
		for _, side := range []struct{ tuple, flags uint16 }{
			{ctaTupleOrig, ctaFilterOrigFlags},
			{ctaTupleReply, ctaFilterReplyFlags},
		} {
			family, filter := bySource(addr, side.tuple, side.flags)
			found, err := t.dump(ctx, family, filter)
			if err != nil {
				return nil, err
			}
			for _, c := range found {
				if name := string(c.zone) + string(c.tuple); !seen[name] {
					seen[name] = true
					all = append(all, c)
				}
			}
		}
	}
	return all, nil
}

// bySource lets the kernel select entries by the source of one of their tuples.
// Kernels before 5.8 do not know the filter and give all entries.
func bySource(addr netip.Addr, tuple, flags uint16) (family byte, body attr.List) {
	family, source := byte(unix.AF_INET6), uint16(ctaIPv6Src)
	if addr.Is4() {
		family, source = unix.AF_INET, ctaIPv4Src
	}
	start := body.Nest(tuple)
	ip := body.Nest(ctaTupleIP)
	body.Bytes(source, addr.AsSlice())
	body.End(ip)
	body.End(start)
	filter := body.Nest(ctaFilter)
	body.Bytes(flags, binary.NativeEndian.AppendUint32(nil, filterIPSource))
	body.End(filter)
	return family, body
}

func (t *Table) dump(ctx context.Context, family byte, filter attr.List) ([]Conn, error) {
	if err := t.setDeadline(ctx); err != nil {
		return nil, err
	}
	list, err := t.conn.Execute(message(msgGet, netlink.Dump, family, filter))
	if err != nil {
		return nil, t.failed("list connections", err)
	}
	conns := make([]Conn, 0, len(list))
	for _, m := range list {
		if c, ok := parse(m.Data); ok {
			conns = append(conns, c)
		}
	}
	return conns, nil
}

func (t *Table) setDeadline(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline() // the zero time: none
	if err := t.conn.SetDeadline(deadline); err != nil {
		return fmt.Errorf("set deadline of conntrack socket: %w", err)
	}
	return nil
}

const headerLen = 4 // struct nfgenmsg

func parse(data []byte) (Conn, bool) {
	var c Conn
	if len(data) < headerLen {
		return c, false
	}
	attr.Each(data[headerLen:], func(kind uint16, value []byte) bool {
		switch kind {
		case ctaTupleOrig:
			c.tuple = value
			from := source(value)
			c.From, c.Protocol, c.Asked = from.addr, from.protocol, from.dest
			if c.Protocol.HasTypes() {
				c.Port = traffic.ICMPPort(from.kind, from.code)
			}
		case ctaTupleReply:
			to := source(value)
			c.To = to.addr
			if to.protocol.HasPorts() {
				c.Port = to.port
			}
		case ctaZone:
			c.zone = value
		case ctaLabels:
			c.Allowed, c.Cut = hasBit(value, dataplane.LabelAllowed), hasBit(value, dataplane.LabelCut)
			c.Host = hasBit(value, dataplane.LabelHost)
			c.Inspected = inspected(value)
		}
		return true
	})
	return c, c.From.IsValid() && c.To.IsValid()
}

// side is the side that sends, in one direction of a connection.
type side struct {
	addr       netip.Addr
	protocol   traffic.Protocol
	port       uint16
	kind, code uint8          // of ICMP
	dest       netip.AddrPort // where it sends to; zero without ports
}

// source is what a tuple says of the side that sends.
func source(tuple []byte) (s side) {
	var to netip.Addr
	var port uint16
	defer func() {
		if s.protocol.HasPorts() && to.IsValid() {
			s.dest = netip.AddrPortFrom(to, port)
		}
	}()
	attr.Each(tuple, func(kind uint16, value []byte) bool {
		switch kind {
		case ctaTupleIP:
			attr.Each(value, func(kind uint16, value []byte) bool {
				if kind == ctaIPv4Src || kind == ctaIPv6Src {
					s.addr, _ = netip.AddrFromSlice(value)
				} else if kind == ctaIPv4Dst || kind == ctaIPv6Dst {
					to, _ = netip.AddrFromSlice(value)
				}
				return true
			})
		case ctaTupleProto:
			attr.Each(value, func(kind uint16, value []byte) bool {
				switch {
				case kind == ctaProtoSrcPort && len(value) == 2:
					s.port = binary.BigEndian.Uint16(value)
				case kind == ctaProtoDstPort && len(value) == 2:
					port = binary.BigEndian.Uint16(value)
				case len(value) != 1:
				case kind == ctaProtoNum:
					s.protocol = traffic.Protocol(value[0])
				case kind == ctaProtoICMPType || kind == ctaProtoICMPv6Type:
					s.kind = value[0]
				case kind == ctaProtoICMPCode || kind == ctaProtoICMPv6Code:
					s.code = value[0]
				}
				return true
			})
		}
		return true
	})
	return s
}

// A label is 16 bytes, for the kernel two 64-bit words of its byte order.
const labelLen = 16

func hasBit(label []byte, bit int) bool {
	return len(label) == labelLen && binary.NativeEndian.Uint64(label[bit/64*8:])&(1<<(bit%64)) != 0
}

func bits(set ...int) []byte {
	label := make([]byte, labelLen)
	for _, bit := range set {
		word := label[bit/64*8:]
		binary.NativeEndian.PutUint64(word, binary.NativeEndian.Uint64(word)|1<<(bit%64))
	}
	return label
}

// cutAtOnce is how many entries go into one message to the kernel.
const cutAtOnce = 4096

func inspected(label []byte) traffic.Verdict {
	switch {
	case hasBit(label, dataplane.LabelHTTP):
		return traffic.InspectHTTP
	case hasBit(label, dataplane.LabelDNS):
		return traffic.InspectDNS
	}
	return traffic.Deny
}

// cut takes dataplane.LabelAllowed and the proxy's labels off the connections and puts dataplane.LabelCut on them, and
// leaves the other bits as they are.
func (t *Table) cut(ctx context.Context, conns []Conn) error {
	for len(conns) > 0 {
		n := min(len(conns), cutAtOnce)
		if err := t.cutSome(ctx, conns[:n]); err != nil {
			return t.failed("cut connections", err)
		}
		conns = conns[n:]
	}
	return nil
}

func (t *Table) cutSome(ctx context.Context, conns []Conn) error {
	if err := t.setDeadline(ctx); err != nil {
		return err
	}
	messages := make([]netlink.Message, 0, len(conns)+1)
	for _, c := range conns {
		messages = append(messages, message(msgNew, 0, family(c.From), c.labels(bits(dataplane.LabelCut), bits(dataplane.LabelAllowed, dataplane.LabelHTTP, dataplane.LabelDNS, dataplane.LabelHost, dataplane.LabelCut))))
	}
	// The kernel answers only what fails, and this at the end.
	messages = append(messages, netlink.Message{Header: netlink.Header{
		Type: netlink.Noop, Flags: netlink.Request | netlink.Acknowledge,
	}})
	if _, err := t.conn.SendMessages(messages); err != nil {
		return err
	}
	for {
		switch _, err := t.conn.Receive(); {
		case err == nil:
			return nil
		case !errors.Is(err, unix.ENOENT): // ended by itself meanwhile
			return err
		}
	}
}

func family(addr netip.Addr) byte {
	if addr.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// labels names the entry and the bits to change.
func (c Conn) labels(value, mask []byte) attr.List {
	var body attr.List
	body.Bytes(ctaTupleOrig|unix.NLA_F_NESTED, c.tuple)
	if c.zone != nil {
		body.Bytes(ctaZone, c.zone)
	}
	body.Bytes(ctaLabels, value)
	body.Bytes(ctaLabelsMask, mask)
	return body
}

// failed opens a new socket after an error: answers to the failed request may
// still be on the way in the old one.
func (t *Table) failed(what string, err error) error {
	err = fmt.Errorf("%s: %w", what, err)
	conn, dialErr := dial(t.netns.FD())
	if dialErr != nil {
		return errors.Join(err, dialErr)
	}
	old := t.conn
	t.conn = conn
	return errors.Join(err, old.Close())
}
