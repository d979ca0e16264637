package kube

import (
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"testing"
	"unsafe"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func workloadPod(workload, name int) *cluster.Pod {
	return &cluster.Pod{
		Name:           cluster.Name{Namespace: fmt.Sprintf("ns-%d", workload), Name: fmt.Sprintf("pod-%d-%d", workload, name)},
		Labels:         map[string]string{"app": fmt.Sprintf("app-%d", workload), "team": "blue"},
		ServiceAccount: fmt.Sprintf("account-%d", workload),
		Ports:          []cluster.Port{{Name: "http", Protocol: traffic.TCP, Number: 8080}},
	}
}

func TestEqualPartsOfPodsShareMemory(t *testing.T) {
	i := newInterner()
	a, b, c := workloadPod(1, 1), workloadPod(1, 2), workloadPod(2, 1)
	want := []cluster.Pod{clone(a), clone(b), clone(c)}
	for _, pod := range []*cluster.Pod{a, b, c} {
		i.pod(pod)
	}
	for n, pod := range []*cluster.Pod{a, b, c} {
		if !reflect.DeepEqual(*pod, want[n]) {
			t.Errorf("pod %+v, want %+v", *pod, want[n])
		}
	}
	if unsafe.StringData(a.Namespace) != unsafe.StringData(b.Namespace) {
		t.Error("one namespace, two strings")
	}
	if reflect.ValueOf(a.Labels).Pointer() != reflect.ValueOf(b.Labels).Pointer() {
		t.Error("equal labels, two maps")
	}
	if reflect.ValueOf(a.Labels).Pointer() == reflect.ValueOf(c.Labels).Pointer() {
		t.Error("different labels, one map")
	}
	if &a.Ports[0] != &c.Ports[0] {
		t.Error("equal ports, two lists")
	}
}

func clone(p *cluster.Pod) cluster.Pod {
	c := *p
	c.Labels = maps.Clone(p.Labels)
	return c
}

func TestInternerForgetsWhatNoPodUses(t *testing.T) {
	i := newInterner()
	const live = 10
	var last []*cluster.Pod
	for n := range 20 * firstSweep {
		i.tidy(func(visit func(*cluster.Pod)) {
			for _, pod := range last {
				visit(pod)
			}
		})
		pod := workloadPod(n, 0)
		i.pod(pod)
		last = append(last, pod)
		last = last[max(0, len(last)-live):]
	}
	if i.size() > 2*firstSweep {
		t.Errorf("%d entries for %d pods", i.size(), live)
	}
	shared := workloadPod(20*firstSweep-1, 0)
	i.pod(shared)
	if reflect.ValueOf(shared.Labels).Pointer() != reflect.ValueOf(last[live-1].Labels).Pointer() {
		t.Error("forgot the labels of a pod that lives")
	}
}

// TestPodsAreSmall guards what an agent keeps for each pod of the cluster. It
// counts bytes, which do not depend on how fast the machine is.
func TestPodsAreSmall(t *testing.T) {
	const pods, most = 20_000, 600
	before := heap()
	i := newInterner()
	table := make(map[cluster.Name]entry[*cluster.Pod])
	for n := range pods {
		pod := workloadPod(n/10, n)
		i.pod(pod)
		table[pod.Name] = entry[*cluster.Pod]{value: pod}
	}
	if each := (heap() - before) / pods; each > most {
		t.Errorf("%d bytes for a pod, %d is the most", each, most)
	}
	runtime.KeepAlive(table)
	runtime.KeepAlive(i)
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
