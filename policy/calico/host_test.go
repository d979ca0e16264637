package calico

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// A cluster-wide policy protects pods and hosts by one selector; what is before
// translation, or untracked, protects hosts alone.
func TestReadPoliciesOnHosts(t *testing.T) {
	for _, row := range []struct{ spec, want, gaps string }{
		{`{selector: "role == 'db'", ingress: [{action: Deny}]}`, `pods {role == "db"} and hosts {role == "db"} | ingress isolates (deny any peer any port)`, ""},
		{`{selector: all(), applyOnForward: true, ingress: [{action: Deny}]}`, "pods and hosts also forwarded | ingress isolates (deny any peer any port)", ""},
		{`{preDNAT: true, applyOnForward: true, ingress: [{action: Deny}]}`, "pods {nobody} and hosts before translation also forwarded | ingress isolates (deny any peer any port)", ""},
		{`{doNotTrack: true, applyOnForward: true, egress: [{action: Allow}]}`, "pods {nobody} and hosts untracked also forwarded | egress isolates (allow any peer any port)", "spec.doNotTrack"},
		{`{applyOnForward: true, ingress: [{action: Deny, destination: {nets: [10.0.0.1/32]}}]}`,
			"pods and hosts also forwarded | ingress isolates (deny [net 0.0.0.0/0] itself [net 10.0.0.1/32] any port)", "spec.ingress[0].destination"},
		{`{ingress: [{action: Deny, destination: {nets: [10.0.0.1/32]}}]}`, "pods and hosts | ingress isolates (deny [net 0.0.0.0/0] itself [net 10.0.0.1/32] any port)", ""},
		{`{applyOnForward: true, egress: [{action: Deny, source: {nets: [10.0.0.1/32]}}]}`,
			"pods and hosts also forwarded | egress isolates (deny [net 0.0.0.0/0] itself [net 10.0.0.1/32] any port)", "spec.egress[0].source"},
	} {
		p, errs := ReadGlobal(globalObject(t, row.spec))
		if len(errs) > 0 {
			t.Errorf("%s: %v", row.spec, errs)
			continue
		}
		if got := p.Text(); got != row.want {
			t.Errorf("%s: %s, want %s", row.spec, got, row.want)
		}
		if got := gapFields(p.Gaps); got != row.gaps {
			t.Errorf("%s: gaps %s, want %s", row.spec, got, row.gaps)
		}
	}
}

func gapFields(gaps []policy.Gap) string {
	var fields []string
	for _, g := range gaps {
		fields = append(fields, g.Field)
	}
	return strings.Join(fields, " ")
}

func TestAPolicyOfANamespaceProtectsNoHosts(t *testing.T) {
	p, errs := Read(object(t, `{selector: all(), ingress: [{action: Deny}]}`))
	if len(errs) > 0 || p.Hosts != nil {
		t.Errorf("hosts %v, %v", p.Hosts, errs)
	}
}

func TestReadHost(t *testing.T) {
	const ports = `{"name":"kubelet","protocol":"TCP","port":10250}`
	for _, row := range []struct{ spec, want, problems string }{
		{`{"node":"n1","interfaceName":"*"}`, `n1 "*" [] [] closed`, ""},
		{`{"node":"n1","interfaceName":"eth0","expectedIPs":["10.0.0.1","::ffff:10.0.0.2"]}`, `n1 "eth0" [10.0.0.1 10.0.0.2] [] closed`, ""},
		{`{"node":"n1","expectedIPs":["fd00::1"],"profiles":["projectcalico-default-allow"]}`, `n1 "" [fd00::1] [] open`, ""},
		{`{"node":"n1","interfaceName":"*","ports":[` + ports + `]}`, `n1 "*" [] [{kubelet TCP 10250}] closed`, ""},
		{`{"node":"n1","interfaceName":"*","profiles":["mine"]}`, `n1 "*" [] [] closed`, "gap spec.profiles[0]"},
		{`{"interfaceName":"*"}`, "", "spec.node"},
		{`{"node":"n1"}`, "", "spec.interfaceName"},
		{`{"node":"n1","expectedIPs":["10.0.0"]}`, "", "spec.expectedIPs[0]"},
		{`{"node":"n1","interfaceName":"*","ports":[{"protocol":"TCP","port":1}]}`, "", "spec.ports[0].name"},
		{`{"node":"n1","interfaceName":"*","ports":[{"name":"a","protocol":"ICMP","port":1}]}`, "", "spec.ports[0].protocol"},
		{`{"node":"n1","interfaceName":"*","ports":[{"name":"a","protocol":"TCP"}]}`, "", "spec.ports[0].port"},
	} {
		object := &HostEndpoint{}
		object.Name = "host"
		if err := json.Unmarshal([]byte(row.spec), &object.Spec); err != nil {
			t.Fatal(err)
		}
		h, gaps, errs := ReadHost(object)
		var problems []string
		for _, e := range errs {
			problems = append(problems, e.Field)
		}
		for _, g := range gaps {
			problems = append(problems, "gap "+g.Field)
		}
		if got := strings.Join(problems, " "); got != row.problems {
			t.Errorf("%s: problems %q, want %q", row.spec, got, row.problems)
		}
		if got := hostText(h); row.want != "" && got != row.want {
			t.Errorf("%s: %s, want %s", row.spec, got, row.want)
		}
	}
}

func hostText(h *policy.Host) string {
	end := "closed"
	if h.Open {
		end = "open"
	}
	return fmt.Sprintf("%s %q %v %v %s", h.Node, h.Device, h.Addrs, h.Ports, end)
}
