package matrix

import (
	"fmt"
	"io"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/printer"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// large is 1,000 pods in 20 namespaces, each pod under a default deny and one of
// ten policies with three rules.
func large() (*cluster.Snapshot, *policy.Set) {
	s, set := cluster.NewSnapshot(), policy.NewSet()
	for n := range 20 {
		namespace := fmt.Sprintf("ns%d", n)
		for i := range 50 {
			p := addPod(s, fmt.Sprintf("%s/pod%d", namespace, i), "n1", fmt.Sprintf("10.%d.0.%d", n, i+1), "TCP 80")
			p.Labels = map[string]string{"app": fmt.Sprintf("app%d", i%10)}
		}
		set.Add(np(namespace+"/deny", "", rules(), rules()))
		for i := range 10 {
			r := rules(to([]string{"192.0.2.0/24"}), podRule(namespace, (i+1)%10), podRule(fmt.Sprintf("ns%d", (n+1)%20), i))
			set.Add(np(fmt.Sprintf("%s/app%d", namespace, i), fmt.Sprintf("app%d", i), r, r))
		}
	}
	return s, set
}

func podRule(namespace string, app int) policy.Rule {
	p := np("x/x", fmt.Sprintf("app%d", app), nil, nil)
	return policy.Rule{Action: policy.Allow, AnyPort: true, Peers: []policy.Peer{{Pods: &policy.PodSelector{Namespace: namespace, Pods: p.Subject.Pods}}}}
}

func BenchmarkMatrixOf1000Pods(b *testing.B) {
	s, set := large()
	for b.Loop() {
		m := New(verdict.New(s, set), Connections(s, set), nil)
		b.ReportMetric(float64(len(m.Rows)), "connections")
	}
}

func BenchmarkPrint1000Pods(b *testing.B) {
	s, set := large()
	m := New(verdict.New(s, set), Connections(s, set), nil)
	for _, format := range []printer.Format{printer.Table, printer.JSON} {
		b.Run(format.String(), func(b *testing.B) {
			for b.Loop() {
				if err := (&printer.Printer{Out: io.Discard, Format: format, Width: 100}).Print(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
