package podstart

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The API server takes objects that make no sense, or too much of it. The agent
// goes on, the policies hold, and who owns the object is told.
func TestObjectsThatMakeNoSense(t *testing.T) {
	s := newStage(t)
	pid, err := shared.Node(1).Engine().PID(t.Context())
	s.must(err)
	s.pod("victim", "server", 1)
	addr := s.address("victim")
	s.thief(addr)
	s.crowdedPod("crowded")
	s.largePolicy(10_000)
	s.hostPod("host")
	s.await("an Event on the pod whose address another claims", func() bool {
		list, err := s.client.EventsV1().Events(s.namespace).List(t.Context(), metav1.ListOptions{})
		s.must(err)
		for _, e := range list.Items {
			if e.Reason == "AddressShared" && e.Regarding.Name == "victim" && strings.Contains(e.Note, "thief") {
				return true
			}
		}
		return false
	})
	s.await("the metric", func() bool {
		return regexp.MustCompile(`(?m)^bulkhead_faulty_objects\{reason="AddressShared"\} 1$`).MatchString(s.ask("/metrics"))
	})
	if !strings.Contains(s.ask("/status"), "AddressShared") {
		t.Error("the status does not tell")
	}
	// The thief's labels let nobody in whom the victim's do not.
	allowed, denied := Knock(s.allowed, addr), Knock(s.denied, addr)
	s.more(denied, 300)
	s.must(allowed.Stop())
	s.must(denied.Stop())
	if n := len(denied.Through()); n > 0 {
		t.Errorf("%d connections of the denied client got through", n)
	}
	if now, err := shared.Node(1).Engine().PID(t.Context()); err != nil || now != pid {
		t.Errorf("the agent is process %d (%v), was %d", now, err, pid)
	}
	if s.ask("/healthz") != "ok\n" {
		t.Error("the agent is not well")
	}
}

// thief claims an address without running anywhere.
func (s *stage) thief(addr netip.Addr) {
	s.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "thief", Labels: map[string]string{"app": "allowed"}},
		Spec:       corev1.PodSpec{NodeName: "ghost", Containers: []corev1.Container{{Name: "none", Image: "agnhost"}}},
	}
	made, err := s.client.CoreV1().Pods(s.namespace).Create(s.Context(), pod, metav1.CreateOptions{})
	s.must(err)
	made.Status.Phase, made.Status.PodIP = corev1.PodRunning, addr.String()
	made.Status.PodIPs = []corev1.PodIP{{IP: addr.String()}}
	_, err = s.client.CoreV1().Pods(s.namespace).UpdateStatus(s.Context(), made, metav1.UpdateOptions{})
	s.must(err)
}

// crowdedPod has thousands of labels, and annotations that nobody can parse.
func (s *stage) crowdedPod(name string) {
	s.Helper()
	labels := map[string]string{"app": "server"}
	for i := range 3000 {
		labels[fmt.Sprintf("label-%d.example.com/%s", i, strings.Repeat("x", 40))] = strings.Repeat("v", 60)
	}
	annotations := map[string]string{
		"bulkhead.dev/mode": "{{{", "k8s.v1.cni.cncf.io/network-status": "[{\"ips\": 7", "kubernetes.io/egress-bandwidth": "\x7f",
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, Annotations: maps.Clone(annotations)},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{corev1.LabelHostname: shared.Node(1).Name},
			Containers:   []corev1.Container{{Name: "pause", Image: "agnhost"}},
		},
	}
	_, err := s.client.CoreV1().Pods(s.namespace).Create(s.Context(), pod, metav1.CreateOptions{})
	s.must(err)
}

// hostPod shares its node's network.
func (s *stage) hostPod(name string) {
	s.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "server"}},
		Spec: corev1.PodSpec{
			HostNetwork:  true,
			NodeSelector: map[string]string{corev1.LabelHostname: shared.Node(1).Name},
			Containers:   []corev1.Container{{Name: "pause", Image: "agnhost"}},
		},
	}
	_, err := s.client.CoreV1().Pods(s.namespace).Create(s.Context(), pod, metav1.CreateOptions{})
	s.must(err)
}

// largePolicy lets so many blocks in, none of which is anybody's.
func (s *stage) largePolicy(peers int) {
	s.Helper()
	var from []networkingv1.NetworkPolicyPeer
	for i := range peers {
		cidr := fmt.Sprintf("198.%d.%d.%d/32", 18+i>>16, i>>8&255, i&255)
		from = append(from, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr}})
	}
	p := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "large"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "server"}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: from}},
		},
	}
	_, err := s.client.NetworkingV1().NetworkPolicies(s.namespace).Create(s.Context(), p, metav1.CreateOptions{})
	s.must(err)
}

// ask asks the agent of node 1.
func (s *stage) ask(path string) (body string) {
	s.Helper()
	s.must(within(shared.Node(1).NetNS, func() error {
		conn, err := net.DialTimeout("tcp", agentAddress, 10*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
			Dial: func(string, string) (net.Conn, error) { return conn, nil }, DisableKeepAlives: true,
		}}
		response, err := client.Get("http://" + agentAddress + path)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		body = string(content)
		return err
	}))
	return body
}
