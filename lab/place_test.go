package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/command"
	labdns "github.com/bulkhead-dev/bulkhead/lab/dns"
)

func TestPlaces(t *testing.T) {
	l := start(t, Config{}, world+"\n---\n"+string(labdns.Manifest))
	for target, want := range map[string]string{
		"shop/front":  "front nameserver search shop.svc.cluster.local",
		"node/n1":     "n1 nameserver",
		"other/agent": "agent nameserver search other.svc.cluster.local",
		"outside":     "outside",
		"shop/none":   "",
		"node/none":   "",
		"n1":          "",
		"":            "",
	} {
		p, ok := l.Place(target)
		got := p.Hostname
		if resolv := content(p.Files, "/etc/resolv.conf"); strings.Contains(resolv, "nameserver 10.96.0.10\n") {
			got += " nameserver"
			if _, search, ok := strings.Cut(resolv, "\nsearch "); ok {
				got += " search " + strings.Fields(search)[0]
			}
		}
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", target, got, ok, want)
		}
	}
	if hosts := content(place(t, l, "node/n1").Files, "/etc/hosts"); !strings.Contains(hosts, "172.18.0.2 n1\n") {
		t.Errorf("hosts of n1: %s", hosts)
	}
}

func content(files []command.File, path string) string {
	i := slices.IndexFunc(files, func(f command.File) bool { return f.Path == path })
	if i < 0 {
		return ""
	}
	return files[i].Content
}

func TestOnlyDNS(t *testing.T) {
	got := onlyDNS("passwd: files\nhosts: files mymachines resolve [!UNAVAIL=return] dns\nnetworks: files\n")
	if want := "passwd: files\nhosts: files dns\nnetworks: files\n"; got != want {
		t.Errorf("got %q", got)
	}
}

// TestNamesFromPods asks the cluster's name server as programs in pods do, and
// again when the cluster has changed.
func TestNamesFromPods(t *testing.T) {
	all := world + "\n---\n" + string(labdns.Manifest)
	l := start(t, Config{}, all)
	ask := func(network string) string {
		query := new(dns.Msg)
		query.SetQuestion("back.shop.svc.cluster.local.", dns.TypeA)
		conn := &dns.Conn{Conn: dial(t, l, "shop/front", network, "10.96.0.10:53")}
		if err := conn.WriteMsg(query); err != nil {
			t.Fatal(err)
		}
		reply, err := conn.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		if len(reply.Answer) != 1 {
			return dns.RcodeToString[reply.Rcode]
		}
		return reply.Answer[0].(*dns.A).A.String()
	}
	for _, network := range []string{"udp", "tcp"} {
		if got := ask(network); got != "10.96.0.7" {
			t.Errorf("%s: %s", network, got)
		}
	}
	apply(t, l, strings.Replace(all, "name: back, namespace: shop}, spec: {clusterIP", "name: back2, namespace: shop}, spec: {clusterIP", 1))
	if got := ask("udp"); got != "NXDOMAIN" {
		t.Errorf("after its end: %s", got)
	}
	agrees(t, l) // the name server's ports are ports like others
}

func TestStatus(t *testing.T) {
	l := start(t, Config{}, world+policies)
	agrees(t, l)
	status, err := l.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(status.Network, " ", status.Enforced, status.Policies, status.Services)
	if want := "routed true [shop/back shop/front] [{shop/back [10.96.0.7] [TCP 80]}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var denied uint64
	for _, node := range status.Nodes {
		for _, d := range node.Denied {
			denied += d.Packets
			if len(d.Policies) == 0 {
				t.Errorf("%s: denied by nobody: %+v", node.Name, d)
			}
		}
	}
	if denied == 0 {
		t.Error("the probes that were denied were not counted")
	}
	if pods := status.Nodes[0].Pods; len(pods) != 2 || pods[0].Name != "shop/back-1" || strings.Join(pods[0].Ports, ",") != "TCP 8080,UDP 53" {
		t.Errorf("pods of n1: %+v", pods)
	}
	without, err := start(t, Config{NoEnforce: true}, world).Status(t.Context())
	if err != nil || without.Enforced {
		t.Errorf("without enforcement: %+v, %v", without, err)
	}
}

func TestNodeOfAddresses(t *testing.T) {
	l := start(t, Config{}, world)
	pod := l.View().Snapshot.Pods[cluster.Name{Namespace: "shop", Name: "front"}]
	for addr, want := range map[string]string{"172.18.0.3": "n2", "fd00:18::2": "n1", "192.0.2.1": "", pod.Addrs[0].String(): "n1"} {
		if got := l.nodeOf(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
}
