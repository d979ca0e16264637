package kube

import (
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// interner lets pods share what is equal in them. The pods of a workload have
// the same labels and ports, and a label map is most of a pod's memory. It is
// used by one goroutine.
type interner struct {
	seed   maphash.Seed
	texts  map[string]string
	labels map[uint64]map[string]string
	ports  map[uint64][]cluster.Port
	sweep  int // entries at which to forget what no pod uses
}

const firstSweep = 1024

func newInterner() *interner {
	i := &interner{seed: maphash.MakeSeed(), sweep: firstSweep}
	i.forget()
	return i
}

func (i *interner) forget() {
	i.texts = map[string]string{}
	i.labels = map[uint64]map[string]string{}
	i.ports = map[uint64][]cluster.Port{}
}

func (i *interner) size() int { return len(i.texts) + len(i.labels) + len(i.ports) }

// pod replaces parts of the pod by equal ones of earlier pods. The names of
// pods differ and are left alone.
func (i *interner) pod(pod *cluster.Pod) {
	pod.Namespace = i.text(pod.Namespace)
	pod.ServiceAccount = i.text(pod.ServiceAccount)
	pod.Node = i.text(pod.Node)
	pod.Workload = i.text(pod.Workload)
	pod.Labels = i.labelSet(pod.Labels)
	pod.Ports = i.portList(pod.Ports)
}

// tidy forgets what no pod uses once the tables have doubled, so that labels
// which come and go with workloads do not pile up.
func (i *interner) tidy(pods func(visit func(*cluster.Pod))) {
	if i.size() < i.sweep {
		return
	}
	i.forget()
	pods(i.remember)
	i.sweep = max(firstSweep, 2*i.size())
}

// remember takes a pod's parts in without touching the pod, which others read.
func (i *interner) remember(pod *cluster.Pod) {
	shadow := *pod
	i.pod(&shadow)
}

func (i *interner) text(s string) string {
	if known, ok := i.texts[s]; ok {
		return known
	}
	s = strings.Clone(s)
	i.texts[s] = s
	return s
}

func (i *interner) labelSet(labels map[string]string) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	var sum uint64 // of the pairs' hashes: the order of a map is random
	for key, value := range labels {
		sum += maphash.Comparable(i.seed, [2]string{key, value})
	}
	known, ok := i.labels[sum]
	if ok && maps.Equal(known, labels) {
		return known
	}
	if ok {
		return labels // two sets with one hash: the second is not shared
	}
	own := make(map[string]string, len(labels))
	for key, value := range labels {
		own[i.text(key)] = value
	}
	i.labels[sum] = own
	return own
}

func (i *interner) portList(ports []cluster.Port) []cluster.Port {
	if len(ports) == 0 {
		return nil
	}
	var h maphash.Hash
	h.SetSeed(i.seed)
	for _, p := range ports {
		maphash.WriteComparable(&h, p)
	}
	known, ok := i.ports[h.Sum64()]
	if ok && slices.Equal(known, ports) {
		return known
	}
	if !ok {
		i.ports[h.Sum64()] = slices.Clip(ports)
	}
	return ports
}
