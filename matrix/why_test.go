package matrix

import (
	"bytes"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/printer"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

func TestWhyIsTheDecisionThatCounts(t *testing.T) {
	s := small()
	open := policy.Rule{Action: policy.Allow, AnyPeer: true, AnyPort: true}
	for _, row := range []struct {
		name            string
		ingress, egress *policy.Rules // of b/server and a/client
		want            string
	}{
		{"no policy", nil, nil, "ingress: no policy selects b/server for ingress"},
		{"denied at the destination", rules(), rules(open), "ingress: isolated for ingress by b/in; no rule allows a/client on UDP 53"},
		{"denied at the source", rules(open), rules(), "egress: isolated for egress by a/out; no rule allows b/server on UDP 53"},
		{"denied at both ends", rules(), rules(), "egress: isolated for egress by a/out; no rule allows b/server on UDP 53"},
		{"allowed at the destination", rules(open), rules(open), "ingress: allowed by b/in rule 0: everyone on every port"},
		{"only the source has a policy", nil, rules(open), "egress: allowed by a/out rule 0: everyone on every port"},
	} {
		set := set(np("b/in", "", row.ingress, nil), np("a/out", "", nil, row.egress))
		connections := Connections(s, set)
		model := verdict.New(s, set)
		m := New(model, connections, nil)
		m.Explain(model, connections)
		if got := m.Rows[0].why(); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

// Families that have different answers have different reasons.
func TestWhyOfTwoFamilies(t *testing.T) {
	s, set := dual()
	connections := Connections(s, set)
	model := verdict.New(s, set)
	m := New(model, connections, nil)
	m.Explain(model, connections)
	for _, r := range m.Rows {
		if r.Egress == nil || r.Ingress.Verdict != r.Verdict {
			t.Errorf("%s %s: the reason is of another row: %+v", r.To, r.port(), r.Ingress)
		}
	}
}

func TestPreview(t *testing.T) {
	s := small()
	now := set(np("b/p", "", rules(policy.Rule{Action: policy.Allow, AnyPeer: true, AnyPort: true}), nil))
	connections := Connections(s, now)
	closed := verdict.New(s, set(np("b/p", "", rules(), nil)))
	m := New(verdict.New(s, now), connections, nil)
	m.Preview(verdict.New(s, now), closed, connections)
	if n := len(m.Staged); n == 0 || n != m.Tally().Allowed {
		t.Fatalf("%d changes of %d connections that were allowed", n, m.Tally().Allowed)
	}
	if c := m.Staged[0]; c.Verdict.String() != "allow" || c.Staged.String() != "deny" || !strings.Contains(c.Reason, "isolated for ingress by b/p") {
		t.Errorf("%+v", c)
	}
	var out bytes.Buffer
	m.Preview(closed, closed, connections)
	if err := (&printer.Printer{Out: &out}).Print(m); err != nil || !strings.Contains(out.String(), "what is staged would change no connection here") {
		t.Errorf("%s, %v", out.String(), err)
	}
}
