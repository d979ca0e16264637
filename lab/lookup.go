package lab

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/dns"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// lookupPatience is how long a pod waits for an answer; the policies may keep it
// from the name servers.
const lookupPatience = time.Second

// lookUp has every pod under rules for names look up all names that are known, as
// its program would before it connects.
func (l *Lab) lookUp(ctx context.Context) error {
	server, ok := l.snapshot.Services[dns.ServiceName]
	if !ok || len(l.snapshot.Names) == 0 {
		return nil
	}
	var asking sync.WaitGroup
	defer asking.Wait()
	for _, p := range l.namingPods() {
		for _, addr := range server.ClusterIPs {
			if !sharesFamily(p, addr) {
				continue
			}
			c, err := l.resolverOf(p, netip.AddrPortFrom(addr, dns.Port))
			if err != nil {
				return err
			}
			asking.Go(func() {
				defer c.Close()
				for _, name := range slices.Sorted(maps.Keys(l.snapshot.Names)) {
					for _, kind := range []uint16{mdns.TypeA, mdns.TypeAAAA} {
						if !l.ask(ctx, c, name, kind) {
							return
						}
					}
				}
			})
		}
	}
	return nil
}

// namingPods are the pods that policies with rules for names select.
func (l *Lab) namingPods() []*cluster.Pod {
	var found []*cluster.Pod
	for _, p := range l.snapshot.Pods {
		labels := &policy.Labels{
			Own:       p.Labels,
			Namespace: policy.Origin{Name: p.Namespace, Labels: l.snapshot.NamespaceLabels(p.Namespace)},
			Account:   policy.Origin{Name: p.ServiceAccount, Labels: l.snapshot.AccountLabels(cluster.Name{Namespace: p.Namespace, Name: p.ServiceAccount})},
		}
		for _, rules := range l.policies.Policies {
			if len(rules.NameSelectors()) > 0 && rules.Subject.Matches(p, labels) {
				found = append(found, p)
				break
			}
		}
	}
	return found
}

func sharesFamily(p *cluster.Pod, addr netip.Addr) bool {
	return slices.ContainsFunc(p.Addrs, func(own netip.Addr) bool { return own.Is4() == addr.Is4() })
}

func (l *Lab) resolverOf(p *cluster.Pod, server netip.AddrPort) (c *net.UDPConn, err error) {
	err = l.net.Pod(p.Name).Do(func() error {
		c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
		return err
	})
	return c, err
}

// ask asks one question; false if there was no answer.
func (l *Lab) ask(ctx context.Context, c *net.UDPConn, name string, kind uint16) bool {
	client := mdns.Client{Timeout: lookupPatience}
	query := new(mdns.Msg).SetQuestion(mdns.Fqdn(name), kind)
	_, _, err := client.ExchangeWithConnContext(ctx, query, &mdns.Conn{Conn: c})
	return err == nil
}
