package failure

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// patience is how long anything awaited may take on the slowest machine.
const patience = 2 * time.Minute

// scene is a server on node 1 that one of two clients on node 2 may reach.
type scene struct {
	*testing.T
	client    kubernetes.Interface
	namespace string
	traffic   *Traffic
	allowed   End
	denied    End
	serial    int           // of pods that need a name
	also      func() Counts // of other traffic, for the report; nil: there is none
}

// in is the same scene for a part of the test.
func (s *scene) in(t *testing.T) *scene {
	part := *s
	part.T = t
	return &part
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := newNamespace(t)
	s.policy("default-deny", metav1.LabelSelector{}, "")
	s.policy("allow", metav1.LabelSelector{MatchLabels: map[string]string{"app": "server"}}, "allowed")
	server := s.pod("server", 1)
	s.allowed, s.denied = s.pod("allowed", 2), s.pod("denied", 2)
	var err error
	if s.traffic, err = StartTraffic(server, s.allowed, s.denied); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.traffic.Stop)
	s.settle()
	return s
}

// newNamespace is a scene without pods, policies and traffic.
func newNamespace(t *testing.T) *scene {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", shared.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ns, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "failure-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{T: t, client: client, namespace: ns.Name}
	t.Cleanup(s.remove)
	return s
}

func (s *scene) remove() {
	ctx, now := context.Background(), int64(0)
	if err := s.client.CoreV1().Pods(s.namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{}); err != nil {
		s.Error(err)
	}
	if err := s.client.CoreV1().Namespaces().Delete(ctx, s.namespace, metav1.DeleteOptions{}); err != nil {
		s.Error(err)
	}
}

// settle waits until the policies are in force: answers come, and nothing leaks
// while a good number more of both was sent.
func (s *scene) settle() {
	s.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		before := s.traffic.Counts()
		s.more(before, 50)
		if c := s.traffic.Counts().Since(before); c.Leaked == 0 && c.Lost == 0 && c.Missed == 0 {
			return
		}
	}
	s.Fatalf("policies never came into force: %+v", s.traffic.Counts())
}

// more waits until so many more datagrams were answered and tried.
func (s *scene) more(before Counts, n int64) {
	s.Helper()
	s.await(fmt.Sprintf("%d more datagrams", n), func() bool {
		c := s.traffic.Counts().Since(before)
		return c.Answered >= n && c.Exchanged >= n && c.Tried >= n
	})
}

func (s *scene) await(what string, holds func() bool) {
	s.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("waited for %s in vain%s", what, s.state())
		}
	}
}

// state is how the traffic is, if there is any.
func (s *scene) state() string {
	if s.traffic == nil {
		return ""
	}
	return fmt.Sprintf("; traffic %+v", s.traffic.Counts())
}

// suffered is what an event did to the traffic.
type suffered struct {
	Counts
	open, shut time.Duration // for which denied datagrams got through, and allowed ones did not
}

// during runs an event under traffic, with some before and after it, takes down
// for the report what the traffic suffered, and returns it.
func (s *scene) during(what string, event func()) suffered {
	s.Helper()
	before := s.traffic.Counts()
	s.more(before, 200)
	event()
	s.more(s.traffic.Counts(), 500)
	c := suffered{Counts: s.traffic.Counts().Since(before)}
	c.open, c.shut = s.traffic.Windows(before)
	if s.also != nil {
		c.Counts = c.Counts.plus(s.also())
	}
	s.Logf("%s: %d answered, %d lost within %v; %d exchanged, %d missed; %d tried, %d leaked within %v",
		what, c.Answered, c.Lost, c.shut, c.Exchanged, c.Missed, c.Tried, c.Leaked, c.open)
	if c.Errors != nil {
		s.Errorf("traffic: %v", c.Errors)
	}
	report.add(what, c)
	return c
}

// unharmed is during for events that nobody may notice.
func (s *scene) unharmed(what string, event func()) {
	s.Helper()
	if c := s.during(what, event); c.Lost != 0 || c.Missed != 0 || c.Leaked != 0 {
		s.Errorf("%s: %d allowed connections were lost, %d messages of open ones, and %d denied connections got through; want none",
			what, c.Lost, c.Missed, c.Leaked)
	}
}

// restart gives the agent of a node other flags until the test is over.
func (s *scene) restart(n *cluster.Node, flags ...string) {
	s.Helper()
	start := func(ctx context.Context, flags ...string) {
		s.Helper()
		s.do("stop agent", n.Engine().Stop(ctx, 0))
		s.do("start agent", n.Engine().Start(ctx, append(command(program), flags...)...))
		s.ready(n)
	}
	start(s.Context(), flags...)
	s.Cleanup(func() { start(context.Background()) })
}

func (s *scene) policy(name string, subject metav1.LabelSelector, from string) {
	s.Helper()
	p := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: subject, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}},
	}
	if from != "" {
		peer := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": from}}}
		p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{peer}}}
	}
	if _, err := s.client.NetworkingV1().NetworkPolicies(s.namespace).Create(s.Context(), p, metav1.CreateOptions{}); err != nil {
		s.Fatal(err)
	}
}

// pod makes a pod on a node and waits until it runs.
func (s *scene) pod(name string, node int) End {
	s.Helper()
	return s.podAs(name, name, node)
}

func (s *scene) podAs(name, app string, node int) End {
	s.Helper()
	pod := podOn(node, name, app)
	s.await("pod "+name+" to be accepted", func() bool { // the service account may take a moment
		_, err := s.client.CoreV1().Pods(s.namespace).Create(s.Context(), pod, metav1.CreateOptions{})
		return err == nil
	})
	var address string
	s.await("pod "+name, func() bool {
		p, err := s.client.CoreV1().Pods(s.namespace).Get(s.Context(), name, metav1.GetOptions{})
		if err != nil {
			return false
		}
		address = p.Status.PodIP
		return p.Status.Phase == corev1.PodRunning && address != ""
	})
	place, err := shared.Pod(s.Context(), s.namespace, name)
	if err != nil {
		s.Fatal(err)
	}
	return End{NetNS: place.NetNS, Addr: netip.MustParseAddr(address)}
}

func podOn(node int, name, app string) *corev1.Pod {
	second := int64(1)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{
			NodeSelector:                  map[string]string{corev1.LabelHostname: shared.Node(node).Name},
			TerminationGracePeriodSeconds: &second,
			Containers:                    []corev1.Container{{Name: "pause", Image: "agnhost"}},
		},
	}
}

// status asks a node's agent.
func status(n *cluster.Node) (map[string]any, error) {
	response, err := httpFrom(n.NetNS).Get("http://" + agentAddress + "/status")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return nil, fmt.Errorf("%s: %s", response.Status, text)
	}
	var s map[string]any
	return s, json.NewDecoder(response.Body).Decode(&s)
}

// ready waits until a node's agent has what exists in force.
func (s *scene) ready(n *cluster.Node) {
	s.Helper()
	s.await("the agent of "+n.Name, func() bool {
		state, err := status(n)
		return err == nil && state["ready"] == true
	})
}

func (s *scene) do(what string, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// nft changes a node's tables as somebody else would.
func (s *scene) nft(n *cluster.Node, commands string) {
	s.Helper()
	if out, err := n.Command(s.Context(), "nft", commands).CombinedOutput(); err != nil {
		s.Fatalf("nft %s on %s: %v: %s", commands, n.Name, err, out)
	}
}
