package dns

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

const world = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIPs: [10.96.7.7, "fd00:96::7"]
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}, {name: plain, port: 90, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: sql, port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: many, namespace: shop}
spec: {clusterIP: None, selector: {many: "yes"}, ports: [{name: x, port: 1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, namespace: shop, labels: {app: db}}
spec: {containers: [{name: c, image: i, ports: [{containerPort: 5432}]}]}
status: {podIP: 10.244.9.9, podIPs: [{ip: 10.244.9.9}, {ip: "fd00:244::9"}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: empty}
`

func load(t *testing.T, extra string) *cluster.Snapshot {
	t.Helper()
	bundle, err := manifest.Load([]string{"-"}, manifest.Options{Defaults: Manifest}, strings.NewReader(world+extra))
	if err != nil {
		t.Fatal(err)
	}
	return bundle.Snapshot
}

func ask(s *Server, name string, kind uint16, edns bool) (*dns.Msg, error) {
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(name), kind)
	if edns {
		query.SetEdns0(1232, false)
	}
	packed, err := query.Pack()
	if err != nil {
		return nil, err
	}
	reply := new(dns.Msg)
	err = reply.Unpack(s.Datagram(packed, netip.AddrPort{}, netip.AddrPort{}))
	if err == nil && reply.Id != query.Id {
		err = fmt.Errorf("id %d, asked with %d", reply.Id, query.Id)
	}
	return reply, err
}

// texts are what records say, without names and times.
func texts(records []dns.RR) []string {
	var found []string
	for _, rr := range records {
		found = append(found, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(found)
	return found
}

func TestAnswers(t *testing.T) {
	s := New(load(t, ""))
	for _, row := range []struct {
		name string
		kind uint16
		want string // records, or a code; "" is no record of this type
	}{
		{"web.shop.svc.cluster.local", dns.TypeA, "10.96.7.7"},
		{"WEB.Shop.svc.cluster.LOCAL", dns.TypeA, "10.96.7.7"},
		{"web.shop.svc.cluster.local", dns.TypeAAAA, "fd00:96::7"},
		{"web.shop.svc.cluster.local", dns.TypeTXT, ""},
		{"_http._tcp.web.shop.svc.cluster.local", dns.TypeSRV, "0 100 80 web.shop.svc.cluster.local."},
		{"_plain._udp.web.shop.svc.cluster.local", dns.TypeSRV, "0 100 90 web.shop.svc.cluster.local."},
		{"_http._udp.web.shop.svc.cluster.local", dns.TypeSRV, "NXDOMAIN"},
		{"db.shop.svc.cluster.local", dns.TypeA, "10.244.9.9"},
		{"db.shop.svc.cluster.local", dns.TypeAAAA, "fd00:244::9"},
		{"db-0.db.shop.svc.cluster.local", dns.TypeA, "10.244.9.9"},
		{"10-244-9-9.db.shop.svc.cluster.local", dns.TypeA, "10.244.9.9"},
		{"_sql._tcp.db.shop.svc.cluster.local", dns.TypeSRV, "0 100 5432 db-0.db.shop.svc.cluster.local."},
		{"many.shop.svc.cluster.local", dns.TypeA, ""},
		{"10-244-9-9.shop.pod.cluster.local", dns.TypeA, "10.244.9.9"},
		{"fd00-244--9.shop.pod.cluster.local", dns.TypeAAAA, "fd00:244::9"},
		{"10-244-9-9.other.pod.cluster.local", dns.TypeA, "NXDOMAIN"},
		{"9.9.244.10.in-addr.arpa", dns.TypePTR, "10-244-9-9.shop.pod.cluster.local."},
		{"7.7.96.10.in-addr.arpa", dns.TypePTR, "web.shop.svc.cluster.local."},
		{"kube-dns.kube-system.svc.cluster.local", dns.TypeA, "10.96.0.10"},
		{"shop.svc.cluster.local", dns.TypeA, ""},
		{"empty.svc.cluster.local", dns.TypeA, ""},
		{"nowhere.svc.cluster.local", dns.TypeA, "NXDOMAIN"},
		{"no.shop.svc.cluster.local", dns.TypeA, "NXDOMAIN"},
		{"example.com", dns.TypeA, "NXDOMAIN"},
		{"web.shop", dns.TypeA, "NXDOMAIN"},
	} {
		reply, err := ask(s, row.name, row.kind, false)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		got := strings.Join(texts(reply.Answer), ", ")
		if reply.Rcode != dns.RcodeSuccess {
			got = dns.RcodeToString[reply.Rcode]
		}
		if got != row.want {
			t.Errorf("%s %s: got %q, want %q", row.name, dns.TypeToString[row.kind], got, row.want)
		}
		if len(reply.Answer) == 0 && len(reply.Ns) != 1 {
			t.Errorf("%s: no answer and no SOA either", row.name)
		}
	}
}

func TestSetReplacesTheCluster(t *testing.T) {
	s := New(cluster.NewSnapshot())
	for _, want := range []int{dns.RcodeNameError, dns.RcodeSuccess} {
		if reply, err := ask(s, "web.shop.svc.cluster.local", dns.TypeA, false); err != nil || reply.Rcode != want {
			t.Errorf("got %v, %v; want %s", reply, err, dns.RcodeToString[want])
		}
		s.Set(load(t, ""))
	}
}

// manyPods makes an answer that does not fit into a plain datagram.
const manyPods = `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: many, namespace: shop}
spec:
  replicas: 60
  template: {metadata: {labels: {many: "yes"}}, spec: {containers: [{name: c, image: i}]}}
`

func TestLongAnswersAreCut(t *testing.T) {
	s := New(load(t, manyPods))
	for _, row := range []struct {
		edns      bool
		least     int
		truncated bool
	}{{false, 5, true}, {true, 60, false}} {
		reply, err := ask(s, "many.shop.svc.cluster.local", dns.TypeA, row.edns)
		if err != nil || len(reply.Answer) < row.least || reply.Truncated != row.truncated {
			t.Errorf("edns %v: %d records, truncated %v, %v", row.edns, len(reply.Answer), reply.Truncated, err)
		}
	}
}

func TestStream(t *testing.T) {
	s := New(load(t, manyPods))
	client, server := net.Pipe()
	done := make(chan bool)
	go func() { s.Stream(server); close(done) }()
	c := &dns.Conn{Conn: client}
	for range 2 {
		query := new(dns.Msg)
		query.SetQuestion("many.shop.svc.cluster.local.", dns.TypeA)
		if err := c.WriteMsg(query); err != nil {
			t.Fatal(err)
		}
		if reply, err := c.ReadMsg(); err != nil || len(reply.Answer) != 60 {
			t.Fatalf("%v, %v", reply, err)
		}
	}
	client.Close()
	<-done
}

func TestWhatIsNoQuery(t *testing.T) {
	s := New(cluster.NewSnapshot())
	for request, want := range map[string]int{"": -1, "x": -1, "xy": dns.RcodeFormatError, "hello, is anybody there?": dns.RcodeFormatError} {
		reply := s.Datagram([]byte(request), netip.AddrPort{}, netip.AddrPort{})
		got := new(dns.Msg)
		switch {
		case want < 0 && reply != nil:
			t.Errorf("%q: answered", request)
		case want >= 0 && (got.Unpack(reply) != nil || got.Rcode != want || got.Id != uint16(request[0])<<8|uint16(request[1])):
			t.Errorf("%q: got %v", request, got)
		}
	}
}

func FuzzDatagram(f *testing.F) {
	s := New(cluster.NewSnapshot())
	query := new(dns.Msg)
	query.SetQuestion("web.shop.svc.cluster.local.", dns.TypeA)
	packed, err := query.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Fuzz(func(t *testing.T, request []byte) {
		if reply := s.Datagram(request, netip.AddrPort{}, netip.AddrPort{}); len(reply) >= 2 && string(reply[:2]) != string(request[:2]) {
			t.Errorf("answer %x to %x", reply, request)
		}
	})
}

func TestResolvConf(t *testing.T) {
	s := load(t, "")
	want := "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
	got := ResolvConf(s, "shop")
	if lines := strings.SplitAfter(got, "\n"); len(lines) == 5 && strings.HasPrefix(lines[1], "nameserver ") {
		got = lines[0] + lines[2] + lines[3] // the IPv6 address of a dual-stack cluster
	}
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := ResolvConf(s, ""); strings.Contains(got, "search") {
		t.Errorf("outside namespaces: %s", got)
	}
}

func TestServes(t *testing.T) {
	count := 0
	for _, pod := range load(t, "").Pods {
		if Serves(pod) {
			count++
		}
	}
	if count != 1 {
		t.Errorf("%d name servers, want 1", count)
	}
}
