package agent

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/bulkhead-dev/bulkhead/cluster/kube"
)

func TestMetricsKeepTheConventions(t *testing.T) {
	l := start(t)
	l.source.status = SourceStatus{Tables: []kube.State{{Kind: "Pod", Objects: 1, Synced: true}}}
	l.told(t, Batch{Pods: pods(pod("n1", "web", "10.0.0.1"))})
	until(t, "readiness", l.Ready)
	problems, err := testutil.GatherAndLint(l.metrics.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestMetricsSayWhatIsGoingOn(t *testing.T) {
	l := start(t)
	l.source.status = SourceStatus{Tables: []kube.State{
		{Kind: "Pod", Objects: 3, Synced: true, Lists: 2, Failures: 1, Lost: "refused"},
	}}
	l.told(t, Batch{Pods: pods(pod("n1", "web", "10.0.0.1")), Policies: denyAll("deny")})
	until(t, "readiness", l.Ready)
	code, body := get(t, l, PathMetrics, "192.0.2.1:1")
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, body)
	}
	for _, line := range []string{
		`bulkhead_build_info{node="n1",version="v0"} 1`,
		`bulkhead_ready 1`,
		`bulkhead_local_pods 1`,
		`bulkhead_policies{dialect="kubernetes",kind="NetworkPolicy"} 1`,
		`bulkhead_isolated_addresses 1`,
		`bulkhead_node_exists 0`,
		`bulkhead_up_to_date 1`,
		`bulkhead_faulty_objects{reason="PolicyNotEnforced"} 0`,
		`bulkhead_commits_total{kind="whole",result="success"} 1`,
		`bulkhead_api_connected{resource="Pod"} 0`,
		`bulkhead_api_objects{resource="Pod"} 3`,
		`bulkhead_api_lists_total{resource="Pod"} 2`,
		`bulkhead_api_failures_total{resource="Pod"} 1`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line %q in\n%s", line, body)
		}
	}
}
