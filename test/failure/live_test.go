package failure

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Ports of the connections that lose their allowance, and of those that keep it.
const (
	takenPort = 10000
	keptPort  = 20000
	perCrowd  = 5000
)

// crowds is a server on node 1 and a client on node 2 with 10,000 connections
// open, which two policies allow.
type crowds struct {
	*scene
	taken, kept *Crowd
}

func newCrowds(t *testing.T) *crowds {
	s := newNamespace(t)
	s.policy("default-deny", metav1.LabelSelector{}, "")
	s.allowPort("taken", takenPort)
	s.allowPort("kept", keptPort)
	server, client := s.pod("server", 1), s.pod("client", 2)
	s.await("the policies", func() bool { return len(policiesOfServer()) >= 3 })
	c := &crowds{scene: s}
	for _, crowd := range []struct {
		to   **Crowd
		port uint16
	}{{&c.taken, takenPort}, {&c.kept, keptPort}} {
		opened, err := OpenCrowd(client, server, crowd.port, perCrowd)
		s.do("open connections", err)
		*crowd.to = opened
		t.Cleanup(func() { s.do("close connections", opened.Close()) })
	}
	c.exchange("at first", c.taken.pairs)
	c.exchange("at first", c.kept.pairs)
	n, err := countConnections(shared.Node(1).NetNS)
	s.do("count connections", err)
	if n < 2*perCrowd {
		t.Fatalf("node 1 tracks %d connections, want %d", n, 2*perCrowd)
	}
	t.Logf("node 1 tracks %d connections", n)
	return c
}

// allowPort lets the client reach a port of the server.
func (s *scene) allowPort(name string, number int32) {
	s.Helper()
	port := intstr.FromInt32(number)
	var ports []networkingv1.NetworkPolicyPort
	for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
		ports = append(ports, networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &port})
	}
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	p.Spec.PodSelector.MatchLabels = map[string]string{"app": "server"}
	p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{
		Ports: ports,
		From:  []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "client"}}}},
	}}
	_, err := s.client.NetworkingV1().NetworkPolicies(s.namespace).Create(s.Context(), p, metav1.CreateOptions{})
	s.do("create policy", err)
}

// peer makes a policy be for another client.
func (s *scene) peer(policy, client string) {
	s.Helper()
	patch := fmt.Sprintf(`[{"op": "replace", "path": "/spec/ingress/0/from/0/podSelector/matchLabels/app", "value": %q}]`, client)
	_, err := s.client.NetworkingV1().NetworkPolicies(s.namespace).Patch(s.Context(), policy, types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
	s.do("change policy", err)
}

// exchange sends a message each way on every connection and waits until all are
// there.
func (c *crowds) exchange(when string, pairs []*pair) {
	c.Helper()
	for _, p := range pairs {
		p.forget()
		c.do("send", p.say())
		c.do("receive", p.hear()) // or there is no room for all
	}
	c.await("all messages "+when, func() bool { return c.heard(pairs) == len(pairs) })
}

// silent sends a message each way on every connection, none of which may arrive.
func (c *crowds) silent(when string, pairs []*pair) {
	c.Helper()
	c.heard(pairs)
	before := make([][2]int64, len(pairs))
	for i, p := range pairs {
		before[i] = [2]int64{p.up.received.Load(), p.down.received.Load()}
		c.do("send", p.say())
	}
	// What was sent later on other connections has come.
	c.exchange(when, c.kept.pairs)
	c.heard(pairs)
	for i, p := range pairs {
		if up, down := p.up.received.Load()-before[i][0], p.down.received.Load()-before[i][1]; up != 0 || down != 0 {
			c.Fatalf("%s: a connection that was cut (of TCP: %t) carried %d bytes to the server and %d to the client", when, p.hub == nil, up, down)
		}
	}
}

// heard is on how many connections everything has come.
func (c *crowds) heard(pairs []*pair) (n int) {
	c.Helper()
	for _, p := range pairs {
		c.do("receive", p.hear())
		if p.whole() {
			n++
		}
	}
	return n
}

// TestTakenAllowance: of 10,000 connections half lose their allowance, and stop
// in both directions; the others go on as if nothing happened.
func TestTakenAllowance(t *testing.T) {
	c := newCrowds(t)
	const rounds, samples = 20, 4
	for round := range rounds {
		taken := StartChatter(c.taken.Some(samples), time.Millisecond)
		kept := StartChatter(c.kept.Some(samples), 5*time.Millisecond)
		begin := time.Now()
		c.await("messages on all", func() bool { return c.chatted(taken, begin) && c.chatted(kept, begin) })
		c.peer("taken", "nobody")
		returned := time.Now()
		c.await("the connections to stop", func() bool { return time.Since(taken.Last()) > 500*time.Millisecond })
		latencies.add("5,000 of 10,000 connections stop", max(0, taken.Last().Sub(returned)))
		c.do("send on taken connections", taken.Stop())
		c.do("send on kept connections", kept.Stop())
		c.await("what was sent on kept connections", func() bool { return c.heard(kept.pairs) == len(kept.pairs) })
		if round == 0 || round == rounds-1 {
			c.silent("after the change", c.taken.pairs)
		}
		c.peer("taken", "client")
		for _, p := range c.taken.pairs[perCrowd/2:] {
			p.forget()
		}
		c.await("taken connections to go on", func() bool { return c.again(c.taken.pairs) })
	}
	t.Logf("\n%s", latencies)
}

// chatted: everybody has heard something since.
func (c *crowds) chatted(chatter *Chatter, since time.Time) bool {
	for _, p := range chatter.pairs {
		if min(p.up.last.Load(), p.down.last.Load()) < since.UnixNano() {
			return false
		}
	}
	return true
}

// again: connections carry messages again. TCP repeats what was not let through;
// datagrams are gone, so others are sent.
func (c *crowds) again(pairs []*pair) bool {
	c.Helper()
	all := true
	for _, p := range pairs {
		c.do("receive", p.hear())
		if p.hub == nil && p.whole() || p.hub != nil && p.up.received.Load() > 0 && p.down.received.Load() > 0 {
			continue
		}
		all = false
		if p.hub != nil {
			c.do("send", p.say())
		}
	}
	return all
}

// TestKeptAllowance: changes that allow the same as before in other words.
func TestKeptAllowance(t *testing.T) {
	c := newCrowds(t)
	api := c.client.NetworkingV1().NetworkPolicies(c.namespace)
	for _, change := range []struct {
		what string
		do   func()
	}{
		{"another policy allows the same, and the first goes", func() {
			c.allowPort("kept-too", keptPort)
			c.do("delete policy", api.Delete(t.Context(), "kept", metav1.DeleteOptions{}))
		}},
		{"a policy that allows nothing selects the pod", func() {
			c.policy("nothing", metav1.LabelSelector{MatchLabels: map[string]string{"app": "server"}}, "nobody")
		}},
		{"other connections lose their allowance, and get it back", func() {
			c.peer("taken", "nobody")
			c.await("the change", func() bool { return !c.reaches(c.taken) })
			c.peer("taken", "client")
		}},
		{"the client's pod gets another label", func() {
			_, err := c.client.CoreV1().Pods(c.namespace).Patch(t.Context(), "client", types.MergePatchType, []byte(`{"metadata": {"labels": {"more": "yes"}}}`), metav1.PatchOptions{})
			c.do("change pod", err)
		}},
		{"the policies go, that which allows them last", func() {
			for _, name := range []string{"nothing", "taken", "default-deny", "kept-too"} {
				c.do("delete policy", api.Delete(t.Context(), name, metav1.DeleteOptions{}))
			}
			c.await("the change", func() bool { return len(policiesOfServer()) == 0 })
		}},
	} {
		chatter := StartChatter(c.kept.Some(50), 20*time.Millisecond)
		begin := time.Now()
		c.await("messages on all", func() bool { return c.chatted(chatter, begin) })
		change.do()
		begin = time.Now()
		c.await("messages after the change", func() bool { return c.chatted(chatter, begin) })
		c.do("send", chatter.Stop())
		c.await("what was sent while "+change.what, func() bool { return c.heard(chatter.pairs) == len(chatter.pairs) })
		c.exchange("after "+change.what, c.kept.pairs)
	}
}

// reaches tells whether datagrams of a crowd pass.
func (c *crowds) reaches(crowd *Crowd) bool {
	c.Helper()
	p := crowd.pairs[len(crowd.pairs)-1]
	before := p.up.received.Load()
	c.do("send", p.say())
	time.Sleep(time.Millisecond) // how often to try
	c.do("receive", p.hear())
	return p.up.received.Load() > before
}
