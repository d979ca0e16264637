package verdict

import (
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

var (
	admin    = policy.Tier{Name: "Admin", Order: 1000, End: policy.Pass}
	security = policy.Tier{Name: "security", Order: 2000, End: policy.Deny}
	lenient  = policy.Tier{Name: "lenient", Order: 2000, End: policy.Pass}
	late     = policy.Tier{Name: "late", Order: math.Inf(1), End: policy.Deny}
	baseline = policy.Tier{Name: "Baseline", Order: 10_000_000, End: policy.Pass}
	allTiers = []policy.Tier{admin, security, lenient, late, baseline}

	dev  = pods("dev", "")
	deny = np("shop/deny", "", in(), out())
)

func act(action policy.Action, peers ...policy.Peer) policy.Rule { return rule(action, "", peers...) }

// Each row is one clause of the pipeline; the connection is dev/visitor ->
// shop/backend TCP 80.
var tierRows = []struct {
	clause   string
	policies policies
	want     string
}{
	{"the first tier that decides wins: allow", policies{global("Admin", "a", 0, "", in(act(policy.Allow, dev))), deny}, "allow"},
	{"the first tier that decides wins: deny", policies{global("Admin", "a", 0, "", in(act(policy.Deny, dev))), np("shop/open", "", in(allow("")))}, "deny"},
	{"a rule that does not match decides nothing", policies{global("Admin", "a", 0, "", in(act(policy.Deny, pods("shop", ""))))}, "allow"},
	{"an allow ends its own direction only", policies{global("Admin", "a", 0, "", in(act(policy.Allow))), np("dev/deny", "", out())}, "deny"},
	{"in a policy the first rule that matches wins", policies{global("Admin", "a", 0, "", in(act(policy.Allow, dev), act(policy.Deny)))}, "allow"},
	{"the second where the first does not match", policies{global("Admin", "a", 0, "", in(act(policy.Allow, pods("shop", "")), act(policy.Deny)))}, "deny"},
	{"in a tier the lower order wins", policies{global("Admin", "z", 1, "", in(act(policy.Allow))), global("Admin", "a", 2, "", in(act(policy.Deny)))}, "allow"},
	{"a tie is broken by name", policies{global("Admin", "z", 1, "", in(act(policy.Allow))), global("Admin", "a", 1, "", in(act(policy.Deny)))}, "deny"},
	{"no order is the last", policies{global("Admin", "a", math.Inf(1), "", in(act(policy.Allow))), global("Admin", "z", 5, "", in(act(policy.Deny)))}, "deny"},
	{"pass skips the tier's later rules", policies{global("Admin", "a", 0, "", in(act(policy.Pass, dev), act(policy.Deny)))}, "allow"},
	{"pass skips the tier's later policies", policies{global("Admin", "a", 0, "", in(act(policy.Pass, dev))), global("Admin", "b", 1, "", in(act(policy.Deny)))}, "allow"},
	{"pass goes on with the next tier", policies{global("Admin", "a", 0, "", in(act(policy.Pass, dev))), deny}, "deny"},
	{"pass skips the tier's isolation", policies{isolating(global("security", "a", 0, "", in(act(policy.Pass, dev))))}, "allow"},
	{"log goes on with the next rule", policies{global("Admin", "a", 0, "", in(act(policy.Log, dev), act(policy.Deny)))}, "deny"},
	{"log goes on with the next policy", policies{global("Admin", "a", 0, "", in(act(policy.Log, dev))), global("Admin", "b", 1, "", in(act(policy.Deny)))}, "deny"},
	{"log alone decides nothing", policies{global("Admin", "a", 0, "", in(act(policy.Log, dev)))}, "allow"},
	{"log does not save from isolation", policies{isolating(global("security", "a", 0, "", in(act(policy.Log, dev))))}, "deny"},
	{"an isolating tier ends in its end: deny", policies{isolating(global("security", "a", 0, "", in())), np("shop/open", "", in(allow("")))}, "deny"},
	{"an isolating tier ends in its end: pass", policies{isolating(global("lenient", "a", 0, "", in()))}, "allow"},
	{"passed at its end the next tier decides", policies{isolating(global("lenient", "a", 0, "", in())), deny}, "deny"},
	{"a tier that selects nobody is skipped", policies{isolating(global("security", "a", 0, "app=cart", in()))}, "allow"},
	{"a policy without rules for the direction is none", policies{isolating(global("security", "a", 0, "app=backend", out()))}, "allow"},
	{"isolation of one policy is the tier's", policies{global("security", "a", 0, "", in()), isolating(global("security", "b", 1, "", in()))}, "deny"},
	{"a rule saves from another's isolation", policies{isolating(global("security", "a", 0, "", in())), global("security", "b", 1, "", in(act(policy.Allow)))}, "allow"},
	{"what nothing isolates goes on", policies{global("security", "a", 0, "", in())}, "allow"},
	{"tiers of one order go by name", policies{isolating(global("lenient", "l", 0, "", in(act(policy.Allow)))), isolating(global("security", "s", 0, "", in()))}, "allow"},
	{"a tier without order is the last", policies{global("late", "a", 0, "", in(act(policy.Deny))), np("shop/open", "", in(allow("")))}, "allow"},
	{"isolated by NetworkPolicy, the baseline is not reached", policies{deny, global("Baseline", "b", 0, "", in(act(policy.Allow)))}, "deny"},
	{"allowed by NetworkPolicy, the baseline is not reached", policies{np("shop/open", "", in(allow(""))), global("Baseline", "b", 0, "", in(act(policy.Deny)))}, "allow"},
	{"selected by no NetworkPolicy, the baseline decides", policies{np("shop/x", "app=cart", in()), global("Baseline", "b", 0, "", in(act(policy.Deny)))}, "deny"},
	{"isolated for egress only, the baseline decides ingress", policies{np("shop/x", "", out()), global("Baseline", "b", 0, "", in(act(policy.Deny)))}, "deny"},
	{"cluster-wide and namespaced policies keep their order", policies{global("NetworkPolicy", "z", 2000, "", in(act(policy.Deny))), np("shop/open", "", in(allow("")))}, "allow"},
	{"a cluster-wide policy before NetworkPolicy's order", policies{global("NetworkPolicy", "z", 10, "", in(act(policy.Deny))), np("shop/open", "", in(allow("")))}, "deny"},
}

func TestTiers(t *testing.T) {
	for _, row := range tierRows {
		t.Run(row.clause, func(t *testing.T) {
			judge(t, set(row.policies, allTiers...), "dev/visitor -> shop/backend TCP 80", row.want)
		})
	}
}

// The pipeline reads the same for egress.
func TestTiersForEgress(t *testing.T) {
	rules := out(act(policy.Log), rule(policy.Pass, "TCP 53"), rule(policy.Allow, "TCP 80"), act(policy.Deny))
	set := set(policies{global("Admin", "a", 0, "team!=x", rules), np("shop/deny", "", out())}, allTiers...)
	judge(t, set, "shop/frontend -> shop/backend TCP 80", "allow")
	judge(t, set, "shop/frontend -> shop/backend TCP 53", "deny")
	judge(t, set, "shop/frontend -> shop/backend TCP 22", "deny")
	judge(t, set, "dev/visitor -> shop/backend TCP 53", "allow")
	judge(t, set, "n1 -> shop/backend TCP 22", "allow")
}

// A cluster-wide deny does not touch what is never filtered.
func TestExemptionsHoldInEveryTier(t *testing.T) {
	set := set(policies{global("Admin", "a", 0, "", in(act(policy.Deny)), out(act(policy.Deny)))}, allTiers...)
	judge(t, set, "shop/backend -> shop/backend TCP 80", "allow")
	judge(t, set, "n2 -> shop/backend TCP 80", "allow")
	judge(t, set, "n1 -> shop/backend TCP 80", "deny")
	judge(t, set, "kube-system/proxy -> kube-system/agent TCP 80", "allow")
}

// A policy may be known before its tier is. Nobody knows where it stands, so it
// takes away what the known tiers leave open, and gives nothing.
func TestTierThatDoesNotExistDenies(t *testing.T) {
	const c = "dev/visitor -> shop/backend TCP 80"
	unknown := global("nosuch", "a", 0, "", in(act(policy.Allow)))
	judge(t, set(policies{unknown}), c, "deny")
	judge(t, set(policies{unknown, np("shop/open", "", in(allow("")))}), c, "allow")
	judge(t, set(policies{global("nosuch", "a", 0, "", out(act(policy.Allow)))}), "n1 -> shop/backend TCP 80", "allow")
	got := decision(t, policies{unknown}, c, traffic.Ingress)
	if want := "denied for ingress: a names tier nosuch, which does not exist"; got.Reason != want {
		t.Errorf("got %s, want %s", got.Reason, want)
	}
}

func TestPodOfAnotherSnapshotIsJudgedAlike(t *testing.T) {
	set := set(policies{np("shop/deny", "", in())})
	c := connect(t, plan(), "dev/visitor -> shop/backend TCP 80")
	if got := New(plan(), set).Verdict(c); got != traffic.Deny {
		t.Errorf("a copy of the pod: %s, want deny", got)
	}
}

func TestEvaluatorIsSharedByGoroutines(t *testing.T) {
	snapshot := plan()
	model := New(snapshot, set(policies{closed, backend}))
	var connections []Connection
	for _, row := range networkPolicyRows {
		connections = append(connections, connect(t, snapshot, row.connection))
	}
	var group sync.WaitGroup
	answers := make([][]traffic.Verdict, 4)
	for i := range answers {
		group.Go(func() {
			for _, c := range connections {
				answers[i] = append(answers[i], model.Verdict(c))
			}
		})
	}
	group.Wait()
	for _, got := range answers[1:] {
		if !slices.Equal(got, answers[0]) {
			t.Errorf("%v and %v", got, answers[0])
		}
	}
}
