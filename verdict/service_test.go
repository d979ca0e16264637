package verdict

import (
	"net/netip"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// withServices is the address plan with shop/web in front of shop/backend and an
// address outside, and dev/empty in front of nothing.
func withServices() *cluster.Snapshot {
	s := plan()
	http := []cluster.ServedPort{{Protocol: traffic.TCP, Number: 8080}, {Protocol: traffic.UDP, Number: 53}}
	web := cluster.Name{Namespace: "shop", Name: "web"}
	s.Endpoints[web] = cluster.NewEndpoints(web, labelMap("tier=front"), []cluster.Backend{
		{Addr: netip.MustParseAddr("10.1.2.1"), Ports: http},
		{Addr: netip.MustParseAddr("10.1.2.1"), Ports: []cluster.ServedPort{{Protocol: traffic.TCP, Number: 9090}}},
		{Addr: netip.MustParseAddr("203.0.113.9"), Ports: []cluster.ServedPort{{Protocol: traffic.TCP, Number: 443}}},
	})
	empty := cluster.Name{Namespace: "dev", Name: "empty"}
	s.Endpoints[empty] = cluster.NewEndpoints(empty, labelMap("tier=front"), nil)
	return s
}

func TestServices(t *testing.T) {
	anywhere := policy.ServiceSelector{Ports: true}
	web := policy.ServiceSelector{Namespace: "shop", Name: "web", Ports: true}
	anyPort := policy.ServiceSelector{Namespace: "shop", Name: "web"}
	for _, row := range []struct {
		services   policy.ServiceSelector
		d          traffic.Direction
		connection string
		want       string
	}{
		{web, traffic.Egress, "shop/frontend -> shop/backend TCP 8080", "allow"},
		{web, traffic.Egress, "shop/frontend -> shop/backend TCP 9090", "allow"},
		{web, traffic.Egress, "shop/frontend -> shop/backend TCP 53", "deny"},
		{web, traffic.Egress, "shop/frontend -> shop/backend UDP 53", "allow"},
		{web, traffic.Egress, "shop/frontend -> shop/backend TCP 443", "deny"},
		{web, traffic.Egress, "shop/frontend -> shop/backend TCP 8080 6", "deny"},
		{web, traffic.Egress, "shop/frontend -> 203.0.113.9 TCP 443", "allow"},
		{web, traffic.Egress, "shop/frontend -> shop/cart TCP 8080", "deny"},
		{anyPort, traffic.Egress, "shop/frontend -> shop/backend TCP 53", "allow"},
		{anyPort, traffic.Egress, "shop/frontend -> shop/backend ICMP", "allow"},
		{anyPort, traffic.Ingress, "shop/backend -> shop/frontend TCP 1", "allow"},
		{anyPort, traffic.Ingress, "203.0.113.9 -> shop/frontend TCP 1", "allow"},
		{anyPort, traffic.Ingress, "shop/cart -> shop/frontend TCP 1", "deny"},
		{web, traffic.Ingress, "shop/backend -> shop/frontend TCP 8080", "deny"}, // a source is at no port
		{anywhere, traffic.Egress, "shop/frontend -> shop/backend TCP 8080", "allow"},
		{policy.ServiceSelector{Namespace: "dev"}, traffic.Egress, "shop/frontend -> shop/backend TCP 8080", "deny"},
		{policy.ServiceSelector{Services: selector("tier=front")}, traffic.Egress, "shop/frontend -> shop/backend TCP 8080", "allow"},
		{policy.ServiceSelector{Services: selector("tier=back")}, traffic.Egress, "shop/frontend -> shop/backend TCP 8080", "deny"},
	} {
		rules := out(act(policy.Allow, policy.Peer{Services: &row.services}))
		if row.d == traffic.Ingress {
			rules = in(act(policy.Allow, policy.Peer{Services: &row.services}))
		}
		s := withServices()
		result := Evaluate(s, set(policies{np("shop/x", "app=frontend", rules)}), connect(t, s, row.connection))
		if got := result.Verdict.String(); got != row.want {
			t.Errorf("%s, %s %s: %s, want %s", row.services, row.d, row.connection, got, row.want)
		}
	}
}

func TestServiceReason(t *testing.T) {
	web := policy.ServiceSelector{Namespace: "shop", Name: "web", Ports: true}
	s := withServices()
	result := Evaluate(s, set(policies{np("shop/x", "", out(act(policy.Allow, policy.Peer{Services: &web})))}), connect(t, s, "shop/frontend -> shop/backend TCP 8080"))
	if want := "allowed by shop/x rule 0: backends of service shop/web on TCP 8080, which it serves"; result.Egress.Reason != want {
		t.Errorf("got %s, want %s", result.Egress.Reason, want)
	}
}
