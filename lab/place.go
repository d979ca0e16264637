package lab

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/command"
	"github.com/bulkhead-dev/bulkhead/lab/dns"
	"github.com/bulkhead-dev/bulkhead/lab/space"
)

// OutsideName is the outside host as a target of Place.
const OutsideName = "outside"

// Place is where programs can be run.
type Place struct {
	Space    *space.Space
	Hostname string
	Files    []command.File
}

// Place finds a target: "NAMESPACE/POD", "node/NAME" or "outside".
func (l *Lab) Place(target string) (Place, bool) {
	view := l.View()
	kind, name, _ := strings.Cut(target, "/")
	if pod, ok := view.Snapshot.Pods[cluster.Name{Namespace: kind, Name: name}]; ok {
		return placed(l.net.Pod(pod.Name), view, pod.Namespace, pod.Name.Name, pod.Addrs)
	}
	if node, ok := view.Snapshot.Nodes[name]; ok && kind == "node" {
		return placed(l.net.Node(name), view, "", name, node.Addrs)
	}
	if target == OutsideName {
		return placed(l.net.Outside(), View{Snapshot: cluster.NewSnapshot()}, "", OutsideName, l.net.OutsideAddrs())
	}
	return Place{}, false
}

func placed(s *space.Space, view View, namespace, hostname string, addrs []netip.Addr) (Place, bool) {
	files := []command.File{
		{Path: "/etc/resolv.conf", Content: dns.ResolvConf(view.Snapshot, namespace)},
		{Path: "/etc/hosts", Content: hosts(hostname, addrs)},
	}
	if content, err := os.ReadFile(nameServices); err == nil {
		files = append(files, command.File{Path: nameServices, Content: onlyDNS(string(content))})
	}
	return Place{s, hostname, files}, s != nil
}

// hosts is the file /etc/hosts of a pod.
func hosts(hostname string, addrs []netip.Addr) string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	for _, addr := range addrs {
		fmt.Fprintf(&b, "%s %s\n", addr, hostname)
	}
	return b.String()
}

const nameServices = "/etc/nsswitch.conf"

var hostsLine = regexp.MustCompile(`(?m)^\s*hosts:.*$`)

// onlyDNS keeps programs from asking the machine's own services for names, as
// systemd's resolver, which know nothing of the lab.
func onlyDNS(nsswitch string) string { return hostsLine.ReplaceAllString(nsswitch, "hosts: files dns") }
