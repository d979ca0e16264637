package podstart

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// patience is how long anything awaited may take on the slowest machine.
const patience = 2 * time.Minute

// A pod that default deny isolates is reached by nobody while it starts, and by
// whom a policy allows as soon as its address is in the API.
func TestNobodyReachesAPodThatStarts(t *testing.T) {
	s := newStage(t)
	var waits, patient []time.Duration
	tried := 0
	for range *starts {
		o := s.start()
		if len(o.denied) > 0 {
			t.Errorf("%d connections of the denied client got through, the first %v after the address was in the API",
				len(o.denied), o.denied[0].Sub(o.reported))
		}
		if o.patient.IsZero() {
			t.Error("a connection of the allowed client that was begun before the pod started never got through")
		}
		waits = append(waits, max(0, o.allowed.Sub(o.reported)))
		patient = append(patient, max(0, o.patient.Sub(o.reported)))
		tried += o.tried
	}
	t.Logf("waits %v", waits)
	t.Logf("%d pods, %s pod network: %d connections of the denied client, none through", *starts, *network, tried)
	t.Logf("after the address is in the API, an allowed client that knocks every %v waits %s", pace, spread(waits))
	t.Logf("after the address is in the API, one that connected before and waits, waits %s", spread(patient))
}

// TestControl is the check that the other can fail: an agent that holds nothing
// lets the denied client through. On a bridge the node asks for the pod's link
// address first, which it has found to be nobody's a moment ago, and asks again
// after a second; by then the pod is known whether held or not.
func TestControl(t *testing.T) {
	if *network != "routed" {
		t.Skipf("a %s pod network leaves a new pod alone for a second by itself", *network)
	}
	s := newStage(t)
	engine := shared.Node(1).Engine()
	s.must(engine.Stop(t.Context(), 0))
	s.must(engine.Start(t.Context(), command("--hold", "off")...))
	t.Cleanup(func() {
		s.must(engine.Stop(context.Background(), 0))
		s.must(engine.Start(context.Background(), command()...))
	})
	leaked := 0
	var window time.Duration
	for range *starts {
		o := s.start()
		if leaked += len(o.denied); len(o.denied) > 0 {
			window = max(window, o.denied[len(o.denied)-1].Sub(o.denied[0]))
		}
	}
	if t.Logf("%d connections got through, for at most %v", leaked, window); leaked == 0 {
		t.Error("nothing got through although nothing was held")
	}
}

func spread(all []time.Duration) string {
	slices.Sort(all)
	return fmt.Sprintf("median %v, max %v", all[len(all)/2].Round(10*time.Microsecond), all[len(all)-1].Round(10*time.Microsecond))
}

// stage is two clients on node 2, of which one may reach servers on node 1.
type stage struct {
	*testing.T
	client          kubernetes.Interface
	namespace       string
	allowed, denied string     // network namespaces
	next            netip.Addr // of the next pod on node 1
	serial          int
}

func newStage(t *testing.T) *stage {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", shared.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	s := &stage{T: t}
	if s.client, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	ns, err := s.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "podstart-"}}, metav1.CreateOptions{})
	s.must(err)
	s.namespace = ns.Name
	t.Cleanup(s.remove)
	s.policy("default-deny", metav1.LabelSelector{}, "")
	s.policy("allow", metav1.LabelSelector{MatchLabels: map[string]string{"app": "server"}}, "allowed")
	for name, path := range map[string]*string{"allowed": &s.allowed, "denied": &s.denied} {
		s.pod(name, name, 2)
		s.address(name)
		place, err := shared.Pod(t.Context(), s.namespace, name)
		s.must(err)
		*path = place.NetNS
	}
	// A node gives its pods one address after the other.
	s.pod("scout", "scout", 1)
	s.next = s.address("scout").Next()
	return s
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stage) remove() {
	ctx, now := context.Background(), int64(0)
	if err := s.client.CoreV1().Pods(s.namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{}); err != nil {
		s.Error(err)
	}
	if err := s.client.CoreV1().Namespaces().Delete(ctx, s.namespace, metav1.DeleteOptions{}); err != nil {
		s.Error(err)
	}
}

func (s *stage) policy(name string, subject metav1.LabelSelector, from string) {
	s.Helper()
	p := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: subject, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}},
	}
	if from != "" {
		peer := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": from}}}
		p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{peer}}}
	}
	_, err := s.client.NetworkingV1().NetworkPolicies(s.namespace).Create(s.Context(), p, metav1.CreateOptions{})
	s.must(err)
}

// pod makes a pod on a node.
func (s *stage) pod(name, app string, node int) {
	s.Helper()
	second := int64(1)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{
			NodeSelector:                  map[string]string{corev1.LabelHostname: shared.Node(node).Name},
			TerminationGracePeriodSeconds: &second,
			Containers:                    []corev1.Container{{Name: "pause", Image: "agnhost"}},
		},
	}
	s.await("pod "+name+" to be accepted", func() bool { // the service account may take a moment
		_, err := s.client.CoreV1().Pods(s.namespace).Create(s.Context(), pod, metav1.CreateOptions{})
		return err == nil
	})
}

// address waits for the pod's address in the API and returns at once.
func (s *stage) address(name string) netip.Addr {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	w, err := s.client.CoreV1().Pods(s.namespace).Watch(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()})
	s.must(err)
	defer w.Stop()
	for event := range w.ResultChan() {
		if pod, ok := event.Object.(*corev1.Pod); ok && pod.Status.PodIP != "" {
			return netip.MustParseAddr(pod.Status.PodIP)
		}
	}
	s.Fatalf("pod %s never got an address", name)
	return netip.Addr{}
}

func (s *stage) await(what string, holds func() bool) {
	s.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(pace) {
		if time.Now().After(deadline) {
			s.Fatalf("waited for %s in vain", what)
		}
	}
}

// outcome is what the start of a pod looked like.
type outcome struct {
	reported time.Time   // the address is in the API
	allowed  time.Time   // the allowed client got through first
	patient  time.Time   // the one that had connected before got through
	denied   []time.Time // the denied client got through
	tried    int         // how often that tried
}

// start starts the next pod while clients knock at its address.
func (s *stage) start() outcome {
	s.Helper()
	s.serial++
	name := fmt.Sprintf("server-%d", s.serial)
	allowed, denied := Knock(s.allowed, s.next), Knock(s.denied, s.next)
	patient := Patient(s.allowed, s.next, patience)
	s.more(denied, 20)
	s.pod(name, "server", 1)
	addr := s.address(name)
	o := outcome{reported: time.Now()}
	if addr != s.next {
		s.Fatalf("pod %s has the address %s, want %s", name, addr, s.next)
	}
	s.await("the allowed client", func() bool { return len(allowed.Through()) > 0 })
	s.more(denied, 200)
	o.patient = <-patient
	s.must(allowed.Stop())
	s.must(denied.Stop())
	o.allowed, o.denied, o.tried = allowed.Through()[0], denied.Through(), denied.Tried()
	now := int64(0)
	s.must(s.client.CoreV1().Pods(s.namespace).Delete(s.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &now}))
	s.next = s.next.Next()
	return o
}

// more waits until a knocker has tried so many more times.
func (s *stage) more(k *Knocker, n int) {
	s.Helper()
	before := k.Tried()
	s.await("attempts", func() bool { return k.Tried() >= before+n })
}
