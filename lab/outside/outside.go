// Package outside is everything that is not the cluster, as one host: it answers
// on every address and port, and on the link-local one as the cloud's instance
// metadata service.
//
// It works in a namespace to which all addresses are local. Its own connections
// are not touched.
package outside

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/lab/listen"
	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// catchPort is where everything is sent to; nobody sees it.
const catchPort = 1

// MetadataAddr is the address of the instance metadata service.
var MetadataAddr = netip.MustParseAddr("169.254.169.254")

// metadataPort is the only port of the service; the host answers on the others
// of its address as on any.
const metadataPort = 80

// Host is the outside host.
type Host struct {
	listeners []listen.Listener
}

// Open starts answering in a namespace. nodeOf is the name of the node that an
// address belongs to, for the metadata service.
func Open(s *space.Space, nodeOf func(netip.Addr) string) (*Host, error) {
	h := &Host{}
	if err := h.open(s, metadata{nodeOf}); err != nil {
		return nil, errors.Join(fmt.Errorf("start outside host: %w", err), h.Close())
	}
	return h, nil
}

func (h *Host) open(s *space.Space, m metadata) error {
	streams, err := listen.OpenAnyStream(s, catchPort, func(conn net.Conn) { serve(conn, m) })
	if err != nil {
		return err
	}
	h.listeners = append(h.listeners, streams)
	datagrams, err := listen.OpenAnyDatagram(s, catchPort, func(request []byte, from, to netip.AddrPort) []byte {
		return greeter(traffic.UDP, to).Datagram(request, from, to)
	})
	if err != nil {
		return err
	}
	h.listeners = append(h.listeners, datagrams)
	return catch(s)
}

func serve(conn net.Conn, m metadata) {
	local := listen.LocalAddr(conn)
	if local == netip.AddrPortFrom(MetadataAddr, metadataPort) {
		listen.HTTP(m)(conn)
		return
	}
	greeter(traffic.TCP, local).Stream(conn)
}

func greeter(protocol traffic.Protocol, to netip.AddrPort) listen.Greeter {
	return listen.Greeter{Name: fmt.Sprintf("ip/%s %s %d", to.Addr(), protocol, to.Port())}
}

// Idle tells whether everything that has reached the host was answered.
func (h *Host) Idle() (bool, error) {
	for _, l := range h.listeners {
		if idle, err := l.Idle(); !idle || err != nil {
			return false, err
		}
	}
	return true, nil
}

// Close stops answering.
func (h *Host) Close() error {
	var errs []error
	for _, l := range h.listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// catch gives every new connection to the listeners, with its destination as it
// is (tproxy). Replies to the host's own connections are left alone: without
// conntrack's word for it they would look like requests to its own ports.
func catch(s *space.Space) error {
	conn, err := nftables.New(nftables.WithNetNSFd(s.FD()))
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "outside"})
	chain := conn.AddChain(&nftables.Chain{
		Name: "prerouting", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle,
	})
	for _, family := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6} {
		for _, protocol := range []traffic.Protocol{traffic.TCP, traffic.UDP} {
			conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: catchRule(family, protocol)})
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("catch all connections: %w", err)
	}
	return nil
}

// catchRule is "ct direction original meta nfproto FAMILY meta l4proto PROTOCOL
// tproxy to :PORT".
func catchRule(family byte, protocol traffic.Protocol) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0}},
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{byte(protocol)}},
		&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(catchPort)},
		&expr.TProxy{Family: family, RegPort: 1},
	}
}
