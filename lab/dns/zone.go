package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/service"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// ttl is CoreDNS's, in seconds.
const ttl = 5

var soa = &dns.SOA{
	Hdr: header(Domain, dns.TypeSOA), Ns: "ns.dns." + Domain, Mbox: "hostmaster." + Domain,
	Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl,
}

// zone is the records of a cluster.
type zone struct {
	// names are the owners in lower case. A name without records exists because
	// of what is below it.
	names map[string][]dns.RR
}

func newZone(s *cluster.Snapshot) *zone {
	z := &zone{names: map[string][]dns.RR{}}
	z.exists("svc." + Domain)
	z.exists("pod." + Domain)
	for name := range s.Namespaces {
		z.exists(name + ".svc." + Domain)
	}
	for _, pod := range s.Pods {
		for _, addr := range pod.Addrs {
			name := dashed(addr) + "." + pod.Namespace + ".pod." + Domain
			z.address(name, addr)
			if !pod.HostNetwork {
				z.reverse(addr, name)
			}
		}
	}
	for name, addrs := range s.Names {
		for _, addr := range addrs {
			z.address(dns.Fqdn(name), addr)
		}
	}
	for _, svc := range s.Services {
		if svc.Headless {
			z.addHeadless(s, svc)
		} else {
			z.addService(svc)
		}
	}
	return z
}

// addService adds a service with addresses of its own.
func (z *zone) addService(svc *cluster.Service) {
	name := serviceName(svc)
	z.exists(name)
	for _, addr := range svc.ClusterIPs {
		z.address(name, addr)
		z.reverse(addr, name)
	}
	for _, port := range svc.Ports {
		z.port(name, port.Name, port.Protocol, name, port.Port)
	}
}

// addHeadless adds a service that stands for its pods. Each of them has a name
// below the service's: its own, which it is known by where the service governs
// it (StatefulSet), and one of its address.
func (z *zone) addHeadless(s *cluster.Snapshot, svc *cluster.Service) {
	name := serviceName(svc)
	z.exists(name)
	for _, pod := range service.Backends(s, svc) {
		for _, addr := range pod.Addrs {
			z.address(name, addr)
			z.address(pod.Name.Name+"."+name, addr)
			z.address(dashed(addr)+"."+name, addr)
		}
		for _, port := range svc.Ports {
			if target := service.TargetPort(pod, port); target != 0 {
				z.port(name, port.Name, port.Protocol, pod.Name.Name+"."+name, target)
			}
		}
	}
}

func serviceName(svc *cluster.Service) string {
	return svc.Name.Name + "." + svc.Namespace + ".svc." + Domain
}

// dashed is the label of an address: "10-244-1-5", "fd00--5".
func dashed(addr netip.Addr) string {
	return strings.NewReplacer(".", "-", ":", "-").Replace(addr.String())
}

func (z *zone) exists(name string) {
	name = strings.ToLower(name)
	for {
		if _, ok := z.names[name]; ok {
			return
		}
		z.names[name] = nil
		i, end := dns.NextLabel(name, 0)
		if end {
			return
		}
		name = name[i:]
	}
}

func (z *zone) add(rr dns.RR) {
	name := strings.ToLower(rr.Header().Name)
	z.exists(name)
	for _, other := range z.names[name] {
		if dns.IsDuplicate(rr, other) {
			return
		}
	}
	z.names[name] = append(z.names[name], rr)
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

func (z *zone) address(name string, addr netip.Addr) {
	if addr.Is4() {
		z.add(&dns.A{Hdr: header(name, dns.TypeA), A: addr.AsSlice()})
	} else {
		z.add(&dns.AAAA{Hdr: header(name, dns.TypeAAAA), AAAA: addr.AsSlice()})
	}
}

func (z *zone) reverse(addr netip.Addr, name string) {
	if owner, err := dns.ReverseAddr(addr.String()); err == nil {
		z.add(&dns.PTR{Hdr: header(owner, dns.TypePTR), Ptr: name})
	}
}

// port adds the SRV record of a port that has a name.
func (z *zone) port(service, name string, protocol traffic.Protocol, target string, number uint16) {
	if name == "" {
		return
	}
	owner := "_" + name + "._" + strings.ToLower(protocol.String()) + "." + service
	z.add(&dns.SRV{Hdr: header(owner, dns.TypeSRV), Weight: 100, Port: number, Target: target})
}

// look finds a question's records, and tells whether the name exists at all.
func (z *zone) look(q dns.Question) (found []dns.RR, known bool) {
	records, known := z.names[strings.ToLower(q.Name)]
	for _, rr := range records {
		if rr.Header().Rrtype == q.Qtype || q.Qtype == dns.TypeANY {
			rr = dns.Copy(rr)
			rr.Header().Name = q.Name // as it was asked for
			found = append(found, rr)
		}
	}
	return found, known
}
