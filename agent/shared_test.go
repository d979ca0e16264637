package agent

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/kube"
)

func TestOwnersOfASharedAddressAreTold(t *testing.T) {
	l := startWith(t, func(o *Options) { o.SharedAfter = time.Millisecond })
	db, thief := pod("n1", "db", "10.0.0.7"), pod("n1", "thief", "10.0.0.7")
	far := pod("n2", "far", "10.0.0.7")
	l.told(t, Batch{Pods: pods(db, pod("n1", "web", "10.0.0.8")), Policies: denyAll("deny")})
	open := func() (found []OpenFault) {
		for _, f := range l.faults.list() {
			if f.Reason == AddressShared {
				found = append(found, f)
			}
		}
		return found
	}
	l.source.batches <- Batch{Pods: pods(thief, far)} // the plan stays as it is
	until(t, "two faults", func() bool { return len(open()) == 2 })
	for _, f := range open() {
		own, other := "db", "thief"
		if strings.Contains(f.Object, "thief") {
			own, other = other, own
		}
		if f.Object != "Pod shop/"+own || !strings.Contains(f.Text, "10.0.0.7") ||
			!strings.Contains(f.Text, "claimed by pod shop/"+min(other, "far")+", pod shop/"+max(other, "far")+" too") {
			t.Errorf("fault %+v", f)
		}
	}
	told := 0
	for _, w := range l.warnings() {
		if w.Reason == string(AddressShared) && w.Object.Kind == "Pod" {
			told++
		}
	}
	if told != 2 {
		t.Errorf("%d events, want one for each pod of this node", told)
	}
	l.source.batches <- Batch{Pods: map[cluster.Name]*cluster.Pod{thief.Name: nil, far.Name: nil}}
	until(t, "no fault", func() bool { return len(open()) == 0 })
}

// An address goes from one pod to the next: nobody needs to know.
func TestAShortDisputeIsNotTold(t *testing.T) {
	l := startWith(t, func(o *Options) { o.SharedAfter = time.Hour })
	l.told(t, Batch{Pods: pods(pod("n1", "db", "10.0.0.7")), Policies: denyAll("deny")})
	l.source.batches <- Batch{Pods: pods(pod("n1", "next", "10.0.0.7"))}
	until(t, "the dispute", func() bool {
		l.disputes.mu.Lock()
		defer l.disputes.mu.Unlock()
		return len(l.disputes.claims) == 1
	})
	l.tellDisputes(time.Hour)
	if faults := l.faults.list(); len(faults) != 0 {
		t.Errorf("faults %+v", faults)
	}
}

// What is wrong with a pod's object and with its address are two things.
func TestASharedAddressDoesNotHideAnotherFault(t *testing.T) {
	l := start(t)
	object := Fault{
		Object: kube.Object{Kind: "Pod", Name: cluster.Name{Namespace: "shop", Name: "db"}}, Reason: NotUnderstood,
		Errs: field.ErrorList{field.Required(field.NewPath("x"), "")},
	}
	l.faults.note(object, time.Now())
	shared := object
	shared.Reason = AddressShared
	l.faults.note(shared, time.Now())
	object.Errs = nil
	if l.faults.note(object, time.Now()); len(l.faults.list()) != 1 || l.faults.list()[0].Reason != AddressShared {
		t.Errorf("faults %+v, want the shared address alone", l.faults.list())
	}
}
