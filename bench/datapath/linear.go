package main

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"

	apilabels "k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// linear is the policies as chains that a new connection walks one after the
// other, with an ipset for each selector: how many engines before did it.
type linear struct {
	world *gen.World
	byNS  map[string][]*cluster.Pod
	sets  map[string]string // a peer's text: its ipset
	ipset strings.Builder
	rules strings.Builder
	named int
}

// The marks of a packet that some policy allows.
const (
	markEgress  = "0x1/0x1"
	markIngress = "0x2/0x2"
)

func loadLinear(ctx context.Context, p *path, w *gen.World) error {
	l := &linear{world: w, byNS: map[string][]*cluster.Pod{}, sets: map[string]string{}}
	for _, pod := range w.Snapshot.Pods {
		l.byNS[pod.Namespace] = append(l.byNS[pod.Namespace], pod)
	}
	chains := l.write()
	if err := p.command(ctx, l.ipset.String(), "ipset", "restore"); err != nil {
		return err
	}
	restore := restoreCommand()
	say("%-18s %d chains, %d ipsets, by %s", p.name, chains, len(l.sets), restore)
	return p.command(ctx, l.rules.String(), restore)
}

// restoreCommand is the older iptables if it is there: its tables are one array,
// which the kernel walks faster than nftables rules.
func restoreCommand() string {
	const legacy = "iptables-legacy-restore"
	if _, err := exec.LookPath(legacy); err == nil {
		return legacy
	}
	return "iptables-restore"
}

// write fills in the sets and the rules, and returns how many chains there are.
func (l *linear) write() int {
	var heads, jumps, bodies strings.Builder
	chains := 0
	isolated := map[traffic.Direction]map[string]bool{traffic.Egress: {}, traffic.Ingress: {}}
	for _, p := range l.world.Set.Sorted() {
		for _, d := range []traffic.Direction{traffic.Egress, traffic.Ingress} {
			rules := p.In(d)
			if rules == nil {
				continue
			}
			chains++
			chain, subject := fmt.Sprintf("P%d", chains), l.set(policy.Peer{Pods: &p.Subject})
			for _, pod := range l.pods(&p.Subject) {
				isolated[d][pod.Addrs[0].String()] = true
			}
			own, other := "dst", "src"
			if d == traffic.Egress {
				own, other = "src", "dst"
			}
			fmt.Fprintf(&heads, ":%s - [0:0]\n", chain)
			fmt.Fprintf(&jumps, "-A FORWARD -m set --match-set %s %s -j %s\n", subject, own, chain)
			for _, r := range rules.Rules {
				l.rule(&bodies, chain, other, d, r)
			}
		}
	}
	for d, end := range map[traffic.Direction]struct{ name, side, mark string }{
		traffic.Egress: {"isolated-egress", "src", markEgress}, traffic.Ingress: {"isolated-ingress", "dst", markIngress},
	} {
		l.addSet(end.name, "hash:ip", slices.Sorted(maps.Keys(isolated[d])))
		fmt.Fprintf(&jumps, "-A FORWARD -m set --match-set %s %s -m mark ! --mark %s -j DROP\n", end.name, end.side, end.mark)
	}
	fmt.Fprintf(&l.rules, "*filter\n:FORWARD ACCEPT [0:0]\n%s-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n%s%sCOMMIT\n",
		heads.String(), jumps.String(), bodies.String())
	return chains
}

func (l *linear) rule(out *strings.Builder, chain, side string, d traffic.Direction, r policy.Rule) {
	mark := markEgress
	if d == traffic.Ingress {
		mark = markIngress
	}
	for _, peer := range r.Peers {
		for _, port := range r.Ports {
			fmt.Fprintf(out, "-A %s -p %s --dport %d:%d -m set --match-set %s %s -j MARK --set-xmark %s\n",
				chain, strings.ToLower(port.Protocol.String()), port.From, port.To, l.set(peer), side, mark)
		}
	}
}

// set is the ipset of a peer.
func (l *linear) set(peer policy.Peer) string {
	text := peer.String()
	if name, ok := l.sets[text]; ok {
		return name
	}
	l.named++
	name := fmt.Sprintf("s%d", l.named)
	l.sets[text] = name
	if peer.CIDR != nil {
		l.addSet(name, "hash:net", blocks(peer.CIDR))
		return name
	}
	var members []string
	for _, pod := range l.pods(peer.Pods) {
		members = append(members, pod.Addrs[0].String())
	}
	l.addSet(name, "hash:ip", members)
	return name
}

// blocks are a block and its exceptions; hash:net does not take all addresses as
// one block.
func blocks(c *policy.CIDR) []string {
	members := []string{c.Prefix.String()}
	if c.Prefix.Bits() == 0 {
		members = []string{"0.0.0.0/1", "128.0.0.0/1"}
	}
	for _, e := range c.Except {
		members = append(members, e.String()+" nomatch")
	}
	return members
}

func (l *linear) addSet(name, kind string, members []string) {
	fmt.Fprintf(&l.ipset, "create %s %s family inet hashsize 1024 maxelem %d\n", name, kind, max(1024, len(members)))
	for _, m := range members {
		fmt.Fprintf(&l.ipset, "add %s %s\n", name, m)
	}
}

func (l *linear) pods(s *policy.PodSelector) []*cluster.Pod {
	namespaces := []string{s.Namespace}
	if s.Namespace == "" {
		namespaces = slices.Collect(maps.Keys(l.byNS))
	}
	var found []*cluster.Pod
	for _, ns := range namespaces {
		labels := l.world.Snapshot.NamespaceLabels(ns)
		if s.Namespaces != nil && !s.Namespaces.Matches(apilabels.Set(labels)) {
			continue
		}
		for _, pod := range l.byNS[ns] {
			if s.Pods == nil || s.Pods.Matches(apilabels.Set(pod.Labels)) {
				found = append(found, pod)
			}
		}
	}
	return found
}
