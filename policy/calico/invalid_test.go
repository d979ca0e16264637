package calico

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
)

func fields(errs field.ErrorList) string {
	var all []string
	for _, e := range errs {
		all = append(all, e.Field)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// What is not enforced is named, lets nothing through and denies no less.
func TestReadGaps(t *testing.T) {
	const at = "spec.ingress[0]."
	for _, row := range []struct{ rule, gap, want string }{
		{`{action: Log, protocol: TCP, source: {ports: [80]}}`, at + "source.ports", "log"},
		{`{action: Pass, source: {ports: [80]}, protocol: TCP}`, at + "source.ports", "deny any peer TCP"},
		{`{action: Allow, protocol: TCP, source: {ports: [80]}}`, at + "source.ports", "allow"},
		{`{action: Deny, protocol: TCP, source: {nets: [10.0.0.0/8], notPorts: [80]}}`, at + "source.notPorts", "deny [net 10.0.0.0/8] TCP"},
	} {
		p, errs := ReadGlobal(globalObject(t, in(row.rule)))
		if len(errs) > 0 {
			t.Errorf("%s: %v", row.rule, errs.ToAggregate())
			continue
		}
		if got := p.Ingress.Rules[0].String(); got != row.want {
			t.Errorf("%s: %s, want %s", row.rule, got, row.want)
		}
		if len(p.Gaps) != 1 || p.Gaps[0].Field != row.gap {
			t.Errorf("%s: gaps %v, want %s", row.rule, p.Gaps, row.gap)
		}
	}
}

// A rule that is not understood matches nothing if it allows, and else denies.
func TestReadInvalidRules(t *testing.T) {
	const (
		at   = "spec.ingress[0]."
		none = "allow"
		all  = "deny any peer any port"
	)
	for _, row := range []struct{ rule, errs, want string }{
		{`{action: Accept}`, at + "action", all},
		{`{action: Allow, ipVersion: 5}`, at + "ipVersion", none},
		{`{action: Pass, ipVersion: 5}`, at + "ipVersion", all},
		{`{action: Allow, source: {selector: "a = 'x'"}}`, at + "source.selector", none},
		{`{action: Pass, source: {selector: "a = 'x'"}}`, at + "source.selector", all},
		{`{action: Deny, destination: {notSelector: "a"}}`, at + "destination.notSelector", all},
		{`{action: Deny, source: {selector: "global()"}}`, at + "source.selector", all},
		{`{action: Allow, source: {serviceAccounts: {selector: "global()"}}}`, at + "source.serviceAccounts.selector", none},
		{`{action: Allow, source: {nets: [10.0.0.0/33]}}`, at + "source.nets[0]", none},
		{`{action: Deny, source: {notNets: [x, 10.0.0.0/8]}}`, at + "source.notNets[0]", all},
		{`{action: Deny, source: {nets: [10.0.0.0/8, 10.0.0.0/8]}}`, at + "source.nets[1]", "deny [net 10.0.0.0/8] [net 10.0.0.0/8] any port"},
		{`{action: Deny, source: {nets: [10.0.0.0/8, "::/0"]}}`, at + "source.nets", "deny [net 10.0.0.0/8] [net ::/0] any port"},
		{`{action: Allow, ipVersion: 6, source: {nets: [10.0.0.0/8]}}`, at + "source.nets[0]", "allow any port"},
		{`{action: Allow, protocol: XYZ}`, at + "protocol", none},
		{`{action: Allow, protocol: 256}`, at + "protocol", none},
		{`{action: Deny, notProtocol: 0}`, at + "notProtocol", all},
		{`{action: Deny, protocol: ICMP, ipVersion: 6}`, at + "protocol", "deny [net ::/0] ICMP"},
		{`{action: Deny, protocol: ICMPv6, ipVersion: 4}`, at + "protocol", "deny [net 0.0.0.0/0] ICMPv6"},
		{`{action: Allow, destination: {ports: [80]}}`, at + "destination.ports", none},
		{`{action: Allow, protocol: ICMP, destination: {ports: [80]}}`, at + "destination.ports", none},
		{`{action: Allow, protocol: TCP, destination: {ports: [0]}}`, at + "destination.ports[0]", none},
		{`{action: Allow, protocol: TCP, destination: {ports: [65536]}}`, at + "destination.ports[0]", none},
		{`{action: Allow, protocol: TCP, destination: {ports: ["90:80"]}}`, at + "destination.ports[0]", none},
		{`{action: Allow, protocol: TCP, destination: {notPorts: ["a b"]}}`, at + "destination.notPorts[0]", none},
		{`{action: Deny, protocol: TCP, destination: {ports: [-1, 80]}}`, at + "destination.ports[0]", all},
		{`{action: Allow, icmp: {type: 8}}`, at + "icmp", none},
		{`{action: Allow, protocol: ICMP, icmp: {type: 255}}`, at + "icmp.type", none},
		{`{action: Allow, protocol: ICMP, icmp: {code: 1}}`, at + "icmp.code", none},
		{`{action: Allow, protocol: ICMP, icmp: {type: 1, code: 256}}`, at + "icmp.code", none},
		{`{action: Deny, http: {methods: [GET]}}`, at + "http", all},
		{`{action: Allow, protocol: UDP, http: {methods: [GET]}}`, at + "protocol", none},
		{`{action: Allow, source: {services: {namespace: b}}}`, at + "source.services.name", none},
		{`{action: Deny, source: {services: {name: a}}}`, at + "source.services.namespace", all},
		{`{action: Deny, destination: {services: {name: a, namespace: b}}}`, at + "destination.services", all},
		{`{action: Allow, protocol: TCP, source: {services: {name: a, namespace: b}, selector: "has(a)", nets: [10.0.0.0/8]}}`,
			at + "source.nets " + at + "source.selector", none},
		{`{action: Allow, protocol: TCP, destination: {ports: [` + strings.Repeat("80,", 51) + `]}}`, at + "destination.ports", "allow any peer" + strings.Repeat(" TCP 80", 51)},
	} {
		p, errs := ReadGlobal(globalObject(t, in(row.rule)))
		if got := fields(errs); got != row.errs {
			t.Errorf("%s: errors in %s, want %s (%v)", row.rule, got, row.errs, errs.ToAggregate())
		}
		if got := p.Ingress.Rules[0].String(); got != row.want {
			t.Errorf("%s: %s, want %s", row.rule, got, row.want)
		}
	}
}

// Services are the other end of a connection, and bring their ports along.
func TestReadInvalidEgressRules(t *testing.T) {
	const at = "spec.egress[0]."
	for _, row := range []struct{ rule, errs string }{
		{`{action: Allow, source: {services: {name: a, namespace: b}}}`, at + "source.services"},
		{`{action: Allow, protocol: TCP, destination: {services: {name: a, namespace: b}, ports: [80]}}`, at + "destination.ports"},
		{`{action: Allow, protocol: TCP, destination: {services: {name: a, namespace: b}, notPorts: [80]}}`, at + "destination.notPorts"},
		{`{action: Allow, http: {methods: [GET]}}`, at + "http"},
	} {
		p, errs := ReadGlobal(globalObject(t, out(row.rule)))
		if got := fields(errs); got != row.errs {
			t.Errorf("%s: errors in %s, want %s (%v)", row.rule, got, row.errs, errs.ToAggregate())
		}
		if got := p.Egress.Rules[0].String(); got != "allow" {
			t.Errorf("%s: %s lets something through", row.rule, got)
		}
	}
}

func TestReadInvalidTiersAndStaged(t *testing.T) {
	for _, row := range []struct{ name, spec, errs string }{
		{"default", `{order: 100}`, "spec.order"},
		{"adminnetworkpolicy", `{order: 1}`, "spec.order"},
		{"a.b", `{}`, "metadata.name"},
		{strings.Repeat("a", 64), `{}`, "metadata.name"},
		{"a", `{defaultAction: Allow}`, "spec.defaultAction"},
	} {
		o := &Tier{}
		o.Name = row.name
		decode(t, row.spec, &o.Spec)
		if _, errs := ReadTier(o); fields(errs) != row.errs {
			t.Errorf("%s %s: errors %v, want in %s", row.name, row.spec, errs, row.errs)
		}
	}
	staged := &StagedGlobalNetworkPolicy{}
	staged.Name = "p"
	for spec, want := range map[string]string{
		`{stagedAction: Delete, tier: x}`: "", `{stagedAction: Delete, order: 1}`: "spec",
		`{stagedAction: Delete, namespaceSelector: all()}`: "spec", `{stagedAction: Remove}`: "spec.stagedAction",
	} {
		staged.Spec = StagedGlobalNetworkPolicySpec{}
		decode(t, spec, &staged.Spec)
		if _, errs := ReadStagedGlobal(staged); fields(errs) != want {
			t.Errorf("%s: errors %v, want in %q", spec, errs, want)
		}
	}
}

func TestReadInvalidPolicies(t *testing.T) {
	for _, row := range []struct {
		spec, errs string
		lost       bool
	}{
		{`{selector: "a"}`, "spec.selector", true},
		{`{selector: "global()"}`, "spec.selector", true},
		{`{namespaceSelector: "global()"}`, "spec.namespaceSelector", true},
		{`{serviceAccountSelector: "!"}`, "spec.serviceAccountSelector", true},
		{`{selector: "a == '` + strings.Repeat("x", 1024) + `'"}`, "spec.selector", false},
		{`{types: [Ingress, Both]}`, "spec.types[1]", false},
		{`{types: [Ingress, Ingress]}`, "spec.types[1]", false},
		{`{doNotTrack: true, preDNAT: true, applyOnForward: true}`, "spec.doNotTrack", false},
		{`{preDNAT: true, applyOnForward: true, egress: [{action: Allow}]}`, "spec.egress", false},
		{`{preDNAT: true, applyOnForward: true, types: [Egress]}`, "spec.types", false},
		{`{doNotTrack: true}`, "spec.applyOnForward", false},
		{`{ingress: [` + strings.Repeat("{action: Allow},", 1025) + `]}`, "spec.ingress", false},
	} {
		p, errs := ReadGlobal(globalObject(t, row.spec))
		if got := fields(errs); got != row.errs || (p == nil) != row.lost {
			t.Errorf("%s: errors in %s, want %s; policy %v", row.spec, got, row.errs, p)
		}
	}
	o := object(t, `{}`)
	o.Name = "A_B"
	if p, errs := Read(o); p != nil || fields(errs) != "metadata.name" {
		t.Errorf("%v, %v", p, errs)
	}
}

func TestReadInvalidOthers(t *testing.T) {
	tier := &Tier{}
	tier.Name = "t"
	decode(t, `{defaultAction: Allow}`, &tier.Spec)
	if read, errs := ReadTier(tier); fields(errs) != "spec.defaultAction" || read.End != policy.Deny {
		t.Error(read, errs)
	}
	set := &GlobalNetworkSet{}
	set.Name = "s"
	decode(t, `{nets: [x, 10.0.0.0/8, 10.0.0.0/8]}`, &set.Spec)
	if n, errs := ReadGlobalNetworkSet(set); fields(errs) != "spec.nets[0] spec.nets[2]" || join(n) != "s 10.0.0.0/8" {
		t.Error(join(n), errs)
	}
	host := &HostEndpoint{}
	host.Name = "h"
	decode(t, `{expectedIPs: []}`, &host.Spec)
	if _, errs := ReadHostEndpoint(host); fields(errs) != "spec.interfaceName spec.node" {
		t.Error(errs)
	}
	decode(t, `{node: n, expectedIPs: [10.0.0.0/8]}`, &host.Spec)
	if _, errs := ReadHostEndpoint(host); fields(errs) != "spec.expectedIPs[0]" {
		t.Error(errs)
	}
	staged := &StagedNetworkPolicy{}
	staged.Namespace, staged.Name = "shop", "p"
	decode(t, `{stagedAction: Try}`, &staged.Spec)
	if _, errs := ReadStaged(staged); fields(errs) != "spec.stagedAction" {
		t.Error(errs)
	}
}

// Whatever is written, the reader ends, and what has errors or gaps lets nothing
// through: no rule that allows has less to say than it had.
func FuzzRead(f *testing.F) {
	for _, spec := range []string{
		`{"selector":"a == 'x'","order":3,"ingress":[{"action":"Allow","protocol":"TCP","source":{"selector":"has(b)","notNets":["10.0.0.0/8"]},"destination":{"ports":[80,"90:100","http"]}}]}`,
		`{"types":["Egress"],"egress":[{"action":"Pass","protocol":"ICMP","icmp":{"type":8},"destination":{"namespaceSelector":"global()"}},{"action":"Log"}]}`,
		`{"ingress":[{"action":"Deny","ipVersion":6,"source":{"services":{"name":"x"}}},{"action":"Allow","http":{}}]}`,
	} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		o := &GlobalNetworkPolicy{}
		o.Name = "p"
		if decodeLoosely(spec, &o.Spec) != nil {
			return
		}
		p, errs := ReadGlobal(o)
		if p == nil {
			if len(errs) == 0 {
				t.Fatal("neither a policy nor an error")
			}
			return
		}
		if again, _ := ReadGlobal(o); again.Text() != p.Text() {
			t.Fatalf("read twice: %s and %s", p.Text(), again.Text())
		}
	})
}
