// Package proxy is what a node runs for policies that ask for the content of
// connections: the sockets, the routing to them, and the proxies.
//
// Proxies own all of that but the routing rule, which stays when they end, like
// the tables that need it; Uninstall takes it away.
package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/bulkhead-dev/bulkhead/conntrack"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/names"
	"github.com/bulkhead-dev/bulkhead/proxy/dns"
	"github.com/bulkhead-dev/bulkhead/proxy/http"
	"github.com/bulkhead-dev/bulkhead/proxy/transparent"
)

// Where the proxies listen on loopback, so that the tables of an agent lead to
// the next one too, and the bits of the packet mark: kube-proxy has 0x4000 and
// 0x8000, Cilium those of 0xf00, Calico's default is 0xffff0000.
const (
	PortDNS    = 28653
	PortHTTP   = 28680
	markDivert = 1 << 13
	markOwn    = 1 << 12
)

// Tables is what the tables have to know of the proxies. Queries bypass a DNS
// proxy that does not run.
func Tables() nft.Proxy {
	return nft.Proxy{HTTP: PortHTTP, DNS: PortDNS, Bypass: true, Divert: markDivert, Own: markOwn}
}

// Options are what the proxies of a node work with.
type Options struct {
	Policy dns.Policy
	// Inside runs a function in the node's network namespace, and NetNS is a
	// descriptor of that; nil and zero: the process is in it.
	Inside func(func() error) error
	NetNS  int
	// Dir is where what was learned outlives a restart; empty: it does not.
	Dir string
	// Grace is for how long an address is open after a name's time to live; zero:
	// that of names.DefaultLimits.
	Grace time.Duration
	// NXDomain: refused queries are answered with NXDOMAIN.
	NXDomain bool
	Log      *slog.Logger
	// Query is told of each query that was judged; nil: nobody is.
	Query func(dns.Note)
	// Request is told of each request that was judged; nil: nobody is.
	Request func(http.Note)
}

// Proxies are those of one node.
type Proxies struct {
	dns         *dns.Server
	http        *http.Server
	connections *conntrack.Table
}

// Open starts the proxies.
func Open(ctx context.Context, o Options) (p *Proxies, err error) {
	p = &Proxies{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	sockets := sockets(o.Inside)
	if err := sockets.Route(); err != nil {
		return nil, err
	}
	if p.connections, err = conntrack.Open(o.NetNS); err != nil {
		return nil, err
	}
	options := dns.Options{
		Policy: o.Policy, Sockets: sockets, Port: PortDNS, NXDomain: o.NXDomain,
		Limits: names.Limits{Grace: o.Grace}, InUse: p.inUse, Log: o.Log, Note: o.Query,
	}
	if o.Dir != "" {
		options.File = filepath.Join(o.Dir, "names.json")
	}
	if p.dns, err = dns.Listen(ctx, options); err != nil {
		return p, err
	}
	p.http, err = http.Listen(ctx, http.Options{Policy: o.Policy, Sockets: sockets, Port: PortHTTP, Log: o.Log, Note: o.Request})
	return p, err
}

func sockets(inside func(func() error) error) transparent.Sockets {
	return transparent.Sockets{Divert: markDivert, Own: markOwn, Inside: inside}
}

// Close ends the proxies.
func (p *Proxies) Close() error {
	var err error
	if p.http != nil {
		err = p.http.Close()
	}
	if p.dns != nil {
		err = errors.Join(err, p.dns.Close())
	}
	if p.connections != nil {
		err = errors.Join(err, p.connections.Close())
	}
	return err
}

// inUse are the addresses that live connections go to.
func (p *Proxies) inUse() (map[netip.Addr]bool, error) {
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	all, err := p.connections.List(ctx)
	if err != nil {
		return nil, err
	}
	used := map[netip.Addr]bool{}
	for _, c := range all {
		if c.Allowed || c.Inspected.Inspects() {
			used[c.To] = true
		}
	}
	return used, nil
}

// Uninstall takes the routing rule away.
func Uninstall() error { return sockets(nil).Unroute() }
