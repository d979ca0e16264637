package k8s

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// FuzzRead: whatever the spec, a policy without errors is complete and in
// canonical form, and one with errors allows no more than its object says.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{}`,
		`{podSelector: {matchLabels: {a: b}}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}], ports: [{port: 80, endPort: 90}]}]}`,
		`{egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32, 10.0.0.0/8]}}], ports: [{port: http}]}]}`,
		`{ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: a, operator: NotIn, values: [b, c]}]}, podSelector: {matchLabels: {x: z}}}]}]}`,
		`{ingress: [{from: [{ipBlock: {cidr: "fd00::/8", except: ["fd00:1::/32"]}}, {}], ports: [{}, {protocol: SCTP}]}, null]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		o := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"}}
		if yaml.Unmarshal([]byte(spec), &o.Spec) != nil {
			return
		}
		p, errs := Read(o)
		for _, e := range errs {
			if !strings.HasPrefix(e.Field, "spec.") {
				t.Errorf("error without a field: %v", e)
			}
		}
		if p == nil {
			if len(errs) == 0 {
				t.Fatal("neither policy nor error")
			}
			return
		}
		again, _ := Read(o)
		if describe(p) != describe(again) {
			t.Errorf("two readings differ: %s and %s", describe(p), describe(again))
		}
		checkRules(t, p.Ingress, len(errs) == 0, len(o.Spec.Ingress))
		checkRules(t, p.Egress, len(errs) == 0, len(o.Spec.Egress))
		checkSubject(t, p, &o.Spec.PodSelector)
		checkAnything(t, p, &o.Spec)
	})
}

func checkRules(t *testing.T, rules *policy.Rules, complete bool, count int) {
	if rules == nil {
		return
	}
	if !rules.Isolates || len(rules.Rules) != count {
		t.Errorf("isolates %v, %d rules of %d", rules.Isolates, len(rules.Rules), count)
	}
	for _, r := range rules.Rules {
		if complete && (!r.AnyPeer && len(r.Peers) == 0 || !r.AnyPort && len(r.Ports) == 0) {
			t.Errorf("a rule that matches nothing: %+v", r)
		}
		for _, p := range r.Peers {
			checkPeer(t, p)
		}
		for _, p := range r.Ports {
			if !p.Protocol.HasPorts() || p.From > p.To || p.Name != "" && p.To != 0 || p.From == 0 && p.To != 0 {
				t.Errorf("port %+v", p)
			}
		}
	}
}

func checkPeer(t *testing.T, p policy.Peer) {
	if (p.Pods == nil) == (p.CIDR == nil) {
		t.Fatalf("peer %+v", p)
	}
	if p.CIDR == nil {
		return
	}
	for i, e := range p.CIDR.Except {
		if !inside(e, p.CIDR.Prefix) || e != e.Masked() || i > 0 && p.CIDR.Except[i-1].Overlaps(e) {
			t.Errorf("block %s", p.CIDR)
		}
	}
	if p.CIDR.Prefix != p.CIDR.Prefix.Masked() || !slices.IsSortedFunc(p.CIDR.Except, netip.Prefix.Compare) {
		t.Errorf("block %s", p.CIDR)
	}
}

// checkSubject compares with apimachinery's own reading of a selector.
func checkSubject(t *testing.T, p *policy.Policy, s *metav1.LabelSelector) {
	want, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatalf("accepted a selector that is %v", err)
	}
	sets := []labels.Set{{}, s.MatchLabels}
	for _, e := range s.MatchExpressions {
		for _, value := range append(slices.Clone(e.Values), "", "other") {
			sets = append(sets, labels.Merge(s.MatchLabels, labels.Set{e.Key: value}))
		}
	}
	for _, set := range sets {
		if got := p.Subject.Pods == nil || p.Subject.Pods.Matches(set); got != want.Matches(set) {
			t.Errorf("selector %s on %v: %v, want %v", s, set, got, want.Matches(set))
		}
	}
}

// checkAnything: only an empty list matches everything.
func checkAnything(t *testing.T, p *policy.Policy, spec *networkingv1.NetworkPolicySpec) {
	check := func(d traffic.Direction, i, peers, ports int) {
		if p.In(d) == nil {
			return
		}
		if r := p.In(d).Rules[i]; r.AnyPeer != (peers == 0) || r.AnyPort != (ports == 0) {
			t.Errorf("%s rule %d of %d peers and %d ports: %+v", d, i, peers, ports, r)
		}
	}
	for i, r := range spec.Ingress {
		check(traffic.Ingress, i, len(r.From), len(r.Ports))
	}
	for i, r := range spec.Egress {
		check(traffic.Egress, i, len(r.To), len(r.Ports))
	}
}
