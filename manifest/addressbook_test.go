package manifest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestTake(t *testing.T) {
	for _, row := range []struct {
		prefix     string
		low, start uint64
		want       string
	}{
		{"10.0.0.0/24", 2, 0, "10.0.0.253"},
		{"10.0.0.0/24", 2, 1, "10.0.0.254"},
		{"10.0.0.0/24", 2, 2, "10.0.0.2"},
		{"10.0.0.0/24", 2, 254, "10.0.0.254"},
		{"10.0.0.0/24", 2, 255, "10.0.0.2"},
		{"10.0.0.0/24", 2, 1<<64 - 1, ""},
		{"10.0.0.0/16", 1, 258, "10.0.1.2"},
		{"10.0.0.0/8", 2, 65534, "10.0.255.254"},
		{"10.0.0.0/30", 2, 99, "10.0.0.2"},
		{"10.0.0.0/31", 2, 1, "10.0.0.1"},
		{"10.0.0.7/32", 2, 5, "10.0.0.7"},
		{"10.255.255.0/24", 2, 254, "10.255.255.254"},
		{"fd00::/64", 2, 258, "fd00::102"},
		{"fd00::ffff:0/112", 2, 65534, "fd00::ffff:fffe"},
		{"fd00::7/128", 2, 5, "fd00::7"},
		{"::/0", 2, 2, "::2"},
	} {
		book := addressBook{owners: map[netip.Addr]string{}}
		prefix := netip.MustParsePrefix(row.prefix)
		got, ok := book.take(prefix, row.low, row.start, "a")
		if !ok || !prefix.Contains(got) || row.want != "" && got.String() != row.want {
			t.Errorf("take(%s, %d, %d) = %s, want %s", row.prefix, row.low, row.start, got, row.want)
		}
	}
}

func TestTakeAll(t *testing.T) {
	for prefix, want := range map[string]int{"10.0.0.0/24": 253, "10.0.0.0/29": 5, "10.0.0.0/31": 2, "10.0.0.0/32": 1, "fd00::/120": 253} {
		book := addressBook{owners: map[netip.Addr]string{}}
		n := 0
		for ok := true; ok; n++ {
			_, ok = book.take(netip.MustParsePrefix(prefix), 2, hash(fmt.Sprint(n)), fmt.Sprint(n))
		}
		if n-1 != want || len(book.owners) != want {
			t.Errorf("%s has room for %d, want %d", prefix, n-1, want)
		}
	}
}

func TestRangeBook(t *testing.T) {
	var book rangeBook
	book.avoid(netip.MustParseAddr("10.244.1.9"))
	if other := book.claim(netip.MustParsePrefix("10.244.2.0/23"), "a"); other != "" {
		t.Errorf("taken by %s", other)
	}
	if other := book.claim(netip.MustParsePrefix("10.244.3.0/24"), "b"); other != "a" {
		t.Errorf("taken by %q, want a", other)
	}
	if other := book.claim(netip.MustParsePrefix("10.244.3.0/24"), "a"); other != "" {
		t.Errorf("one's own range is taken by %s", other)
	}
	for _, want := range []string{"10.244.4.0/24", "10.244.5.0/24"} {
		if got, ok := book.take(podRanges[0], 1, "c"); !ok || got.String() != want {
			t.Errorf("took %s, want %s", got, want)
		}
	}
	last := podRanges[0].blocks - 1
	for _, want := range []string{"10.255.255.0/24", "10.244.0.0/24", "10.244.6.0/24"} {
		if got, ok := book.take(podRanges[0], last, "d"); !ok || got.String() != want {
			t.Errorf("took %s, want %s", got, want)
		}
	}
	if got := podRanges[1].block(0x1234).String(); got != "fd00:10:244:1234::/64" {
		t.Errorf("block %s", got)
	}
}

func TestNothingIsLeft(t *testing.T) {
	node := "apiVersion: v1\nkind: Node\nmetadata: {name: %s}\nspec: {podCIDR: %s}\n"
	var services []string
	for i := range countNodePort + 1 {
		services = append(services, fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: s%04d}\nspec: {type: NodePort, ports: [{port: 80}]}\n", i))
	}
	for name, row := range map[string]struct{ text, want string }{
		"addresses": {documents(fmt.Sprintf(node, "a", "10.0.0.0/8"), fmt.Sprintf(node, "b", "192.0.2.0/30"), pod("x")+"spec: {nodeName: b}\n",
			pod("c")+"spec: {nodeName: b}\n"), "a.yaml:11: Pod default/x: no address is left for pod default/x on node b"},
		"node ports": {documents(services...), fmt.Sprintf("a.yaml:%d: Service default/s%04d: spec.ports[0]: no node port is left", countNodePort*5+4, countNodePort)},
	} {
		_, err := load(t, map[string]string{"a.yaml": row.text}, Options{Families: IPv4}, ".")
		if err == nil || !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("%s: got %.300v, want %s", name, err, row.want)
		}
	}
}

func TestManyNodesAreNotAllNamed(t *testing.T) {
	_, err := load(t, map[string]string{"a.yaml": pod("a") + "spec: {nodeSelector: {disk: ssd}}\n"}, Options{Nodes: 9}, ".")
	want := "a.yaml:4: Pod default/a: spec.nodeSelector: pod default/a cannot be placed: no node has the labels disk=ssd, put them on one of node-1, node-2, node-3, node-4, node-5, …"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
