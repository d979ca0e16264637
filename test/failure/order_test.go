package failure

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestEventsInEveryOrder: a pod, its namespace's label and a policy allow a
// connection together. They come in each order, and label and policy go in each:
// the pod gets through with all three, and not once without.
func TestEventsInEveryOrder(t *testing.T) {
	s := newNamespace(t)
	s.policy("default-deny", metav1.LabelSelector{}, "")
	server, tap := s.pod("server", 1), s.tap()
	for i, order := range []string{"pod label policy", "pod policy label", "label pod policy", "label policy pod", "policy pod label", "policy label pod"} {
		t.Run(order, func(t *testing.T) {
			o := &ordering{scene: s.in(t), other: newNamespace(t), tap: tap, server: server, team: fmt.Sprintf("team-%d", i)}
			o.come(strings.Fields(order))
			o.leave(strings.Fields(order))
			report.add("pod, namespace label and policy come in every order, and go", suffered{Counts: o.counts})
		})
	}
}

// ordering is a client in a namespace of its own that events let in and shut out.
type ordering struct {
	*scene
	other  *scene
	tap    *Tap
	server End
	client End
	team   string
	hammer *Hammer // nil: there is no client yet
	counts Counts
}

func (o *ordering) arrived() int64 {
	return o.tap.Count(func(a arrival) bool { return a.from == o.client.Addr && a.to == o.server.Addr })
}

// come lets the events happen. Before the last nothing may arrive.
func (o *ordering) come(order []string) {
	o.Helper()
	for i, event := range order {
		if i == len(order)-1 {
			o.mustNotArrive("before " + event)
		}
		o.happen(event)
	}
	before := o.arrived()
	o.await("the client to get through", func() bool { return o.arrived() >= before+100 })
	o.counts.Answered += 100
}

func (o *ordering) happen(event string) {
	o.Helper()
	switch event {
	case "pod":
		o.client = o.other.pod("client", 2)
		o.hammer = o.scene.hammer(o.client, time.Millisecond)
		o.hammer.At(o.server.Addr)
	case "label":
		o.label(fmt.Sprintf("%q", o.team))
	case "policy":
		p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: o.team}}
		team := &metav1.LabelSelector{MatchLabels: map[string]string{"team": o.team}}
		p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: team}}}}
		_, err := o.scene.client.NetworkingV1().NetworkPolicies(o.namespace).Create(o.Context(), p, metav1.CreateOptions{})
		o.do("create policy", err)
	}
}

func (o *ordering) label(value string) {
	o.Helper()
	patch := fmt.Sprintf(`{"metadata": {"labels": {"team": %s}}}`, value)
	_, err := o.scene.client.CoreV1().Namespaces().Patch(o.Context(), o.other.namespace, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	o.do("label namespace", err)
}

// leave takes label and policy away again. After the first of them nothing may
// arrive any more.
func (o *ordering) leave(order []string) {
	o.Helper()
	for i, event := range order {
		switch event {
		case "label":
			o.label("null")
		case "policy":
			o.do("delete policy", o.scene.client.NetworkingV1().NetworkPolicies(o.namespace).Delete(o.Context(), o.team, metav1.DeleteOptions{}))
		default:
			continue
		}
		before := o.dropped()
		o.await("the client to be shut out", func() bool { return o.dropped() > before+20 })
		o.mustNotArrive(fmt.Sprintf("after event %d, %s", i+1, event))
	}
}

func (o *ordering) mustNotArrive(when string) {
	o.Helper()
	if o.hammer == nil {
		return
	}
	before, sent := o.arrived(), o.hammer.Sent()
	was := o.sources()
	o.rounds(o.hammer, 300)
	leaked := o.arrived() - before
	o.counts.Tried += o.hammer.Sent() - sent
	o.counts.Leaked += leaked
	if leaked != 0 {
		for port, n := range o.sources() {
			if n != was[port] {
				o.Logf("from port %d, from which %d came before", port, was[port])
			}
		}
		labelled, all, err := trusted(shared.Node(1).NetNS, o.client.Addr)
		o.Errorf("%s: %d datagrams got through; %d of the client's %d connections are trusted, %v", when, leaked, labelled, all, err)
	}
}

// dropped is how many packets node 1 has denied.
func (o *ordering) dropped() (sum int) {
	o.Helper()
	out, err := shared.Node(1).Command(o.Context(), "nft", "list", "counters", "table", "inet", "bulkhead").Output()
	o.do("list counters", err)
	for _, found := range packets.FindAllSubmatch(out, -1) {
		n, err := strconv.Atoi(string(found[1]))
		o.do("read counter", err)
		sum += n
	}
	return sum
}

var packets = regexp.MustCompile(`packets (\d+)`)

// sources is how many datagrams of the client arrived from each of its ports.
func (o *ordering) sources() map[uint16]int64 {
	ports := map[uint16]int64{}
	o.tap.Count(func(a arrival) bool {
		if a.from == o.client.Addr && a.to == o.server.Addr {
			ports[a.source]++
		}
		return false
	})
	return ports
}
