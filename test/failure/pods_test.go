package failure

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tap counts what node 1 hands to its pods, until the test is over.
func (s *scene) tap() *Tap {
	s.Helper()
	tap, err := OpenTap(shared.Node(1).NetNS)
	s.do("open tap", err)
	s.Cleanup(func() { s.do("close tap", tap.Close()) })
	return tap
}

func (s *scene) hammer(from End, pace time.Duration) *Hammer {
	h := StartHammer(from, pace)
	s.Cleanup(func() { s.do("hammer", h.Stop()) })
	return h
}

// rounds waits until so many more datagrams were sent.
func (s *scene) rounds(h *Hammer, n int64) {
	s.Helper()
	before := h.Sent()
	s.await("datagrams to be sent", func() bool { return h.Sent() >= before+n })
}

func (s *scene) deletePod(name string) {
	s.Helper()
	now := int64(0)
	s.do("delete pod", s.client.CoreV1().Pods(s.namespace).Delete(s.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &now}))
}

// only isolates pods in both directions; they may talk with a peer, if one is
// named.
func (s *scene) only(name, app, peer string) {
	s.Helper()
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	p.Spec.PodSelector.MatchLabels = map[string]string{"app": app}
	p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	if peer != "" {
		peers := []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": peer}}}}
		p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: peers}}
		p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: peers}}
	}
	_, err := s.client.NetworkingV1().NetworkPolicies(s.namespace).Create(s.Context(), p, metav1.CreateOptions{})
	s.do("create policy", err)
}

// TestAddressIsReused: a pod goes and another gets its address at once, while a
// client that was the first's goes on to send, on an open connection and on new
// ones. Nothing of what the first was allowed may pass to the second.
func TestAddressIsReused(t *testing.T) {
	s := newScene(t)
	tap, client := s.tap(), s.pod("client", 2)
	s.only("first", "first", "client")
	s.only("second", "second", "")
	hammer := s.hammer(client, time.Millisecond)
	for range 10 {
		first := s.pod("first", 1)
		hammer.At(first.Addr)
		toFirst := func(a arrival) bool { return a.from == client.Addr && a.to == first.Addr }
		before := tap.Count(toFirst)
		s.await("the client to reach the first pod", func() bool { return tap.Count(toFirst) > before+50 })
		kept := s.connect(client, first)
		devices := tap.Devices(toFirst)
		toSecond := func(a arrival) bool { return toFirst(a) && !devices[a.device] }
		s.leaksOf(toSecond, tap, hammer, func() {
			s.unharmed("a pod's address goes to another pod at once", func() {
				s.deletePod("first")
				s.goesOn(kept, s.successor(first))
				s.rounds(hammer, 500)
			})
		})
		s.do("delete pods", s.client.CoreV1().Pods(s.namespace).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=second"}))
		s.await("the second pods' end", func() bool { return len(s.running("second")) == 0 })
	}
}

// successor makes pods until one has the address of a pod that is going.
func (s *scene) successor(of End) End {
	s.Helper()
	for range 50 {
		s.serial++
		next := s.podAs(fmt.Sprintf("second-%d", s.serial), "second", 1)
		if next.Addr == of.Addr {
			return next
		}
	}
	s.Fatalf("no pod got the address %s", of.Addr)
	return End{}
}

// leaksOf adds what a hammer sent, and what of it got through, to what the report
// says of an event.
func (s *scene) leaksOf(of func(arrival) bool, tap *Tap, hammer *Hammer, event func()) {
	s.Helper()
	sent, through := hammer.Sent(), tap.Count(of)
	s.also = func() Counts { return Counts{Tried: hammer.Sent() - sent, Leaked: tap.Count(of) - through} }
	event()
	s.also = nil
}

// connect opens a connection that is answered once, and returns the client's end.
func (s *scene) connect(client, server End) *net.UDPConn {
	s.Helper()
	var listener, conn *net.UDPConn
	at := net.UDPAddrFromAddrPort(netip.AddrPortFrom(server.Addr, port+1))
	s.do("listen", within(server.NetNS, func() (err error) { listener, err = net.ListenUDP("udp4", at); return err }))
	defer listener.Close()
	s.do("connect", within(client.NetNS, func() (err error) { conn, err = net.DialUDP("udp4", nil, at); return err }))
	s.Cleanup(func() { conn.Close() })
	_, err := conn.Write(word)
	s.do("send", err)
	buffer := make([]byte, 64)
	_ = listener.SetReadDeadline(time.Now().Add(patience))
	_, from, err := listener.ReadFromUDPAddrPort(buffer)
	s.do("receive", err)
	_, err = listener.WriteToUDPAddrPort(word, from)
	s.do("answer", err)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	_, err = conn.Read(buffer)
	s.do("receive answer", err)
	return conn
}

// goesOn sends on an open connection whose server's address another pod has now,
// from both ends, and fails if anything arrives.
func (s *scene) goesOn(conn *net.UDPConn, server End) {
	s.Helper()
	var listener *net.UDPConn
	at := net.UDPAddrFromAddrPort(netip.AddrPortFrom(server.Addr, port+1))
	s.do("listen", within(server.NetNS, func() (err error) { listener, err = net.ListenUDP("udp4", at); return err }))
	defer listener.Close()
	clientAt := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	for range 20 {
		_, _ = conn.Write(word)
		_, err := listener.WriteToUDPAddrPort(word, clientAt)
		s.do("send", err)
	}
	s.more(s.traffic.Counts(), 200) // what was sent before has arrived, or will not
	for _, end := range []*net.UDPConn{conn, listener} {
		n := 0
		s.do("receive", take(end, func(int, unix.Sockaddr) { n++ }))
		if n > 0 {
			s.Errorf("%d datagrams of the first pod's connection arrived at %s", n, end.LocalAddr())
		}
	}
}

// TestAllPodsRestart: 249 pods beside the server go and come back with other
// names, while a denied client sends to every address of the node.
func TestAllPodsRestart(t *testing.T) {
	const pods = 249
	s := newScene(t)
	s.policy("mass", metav1.LabelSelector{MatchLabels: map[string]string{"app": "mass"}}, "allowed")
	tap := s.tap()
	server, err := s.client.CoreV1().Pods(s.namespace).Get(t.Context(), "server", metav1.GetOptions{})
	s.do("find server", err)
	s.mass("a", pods)
	s.await("all pods", func() bool { return len(s.running("mass")) == pods })
	var targets []netip.Addr
	for addr := netip.MustParsePrefix(shared.Node(1).PodRanges[0]).Addr(); len(targets) <= pods+2; addr = addr.Next() {
		if addr.String() != server.Status.PodIP {
			targets = append(targets, addr)
		}
	}
	hammer := s.hammer(s.denied, 50*time.Millisecond)
	hammer.At(targets...)
	fromDenied := func(a arrival) bool { return a.from == s.denied.Addr }
	s.leaksOf(fromDenied, tap, hammer, func() {
		s.unharmed("a node with 250 pods restarts them all", func() {
			s.rounds(hammer, 10*int64(len(targets)))
			s.do("delete pods", s.client.CoreV1().Pods(s.namespace).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=mass"}))
			s.mass("b", pods)
			s.await("all pods again", func() bool { return len(s.running("mass")) == pods })
			s.rounds(hammer, 10*int64(len(targets)))
		})
	})
	friend := s.hammer(s.allowed, 50*time.Millisecond)
	friend.At(s.running("mass")...)
	s.await("the allowed client to reach them all", func() bool {
		return len(tap.Targets(func(a arrival) bool { return a.from == s.allowed.Addr && a.to.String() != server.Status.PodIP })) >= pods
	})
}

// mass makes pods on node 1, some at a time.
func (s *scene) mass(name string, pods int) {
	s.Helper()
	numbers := make(chan int)
	var makers sync.WaitGroup
	for range 8 {
		makers.Go(func() {
			for i := range numbers {
				pod := podOn(1, fmt.Sprintf("mass-%s-%d", name, i), "mass")
				if _, err := s.client.CoreV1().Pods(s.namespace).Create(context.Background(), pod, metav1.CreateOptions{}); err != nil {
					s.Errorf("create pod: %v", err)
				}
			}
		})
	}
	for i := range pods {
		numbers <- i
	}
	close(numbers)
	makers.Wait()
}

// running are the addresses of pods that run and are not about to end.
func (s *scene) running(app string) (addrs []netip.Addr) {
	s.Helper()
	pods, err := s.client.CoreV1().Pods(s.namespace).List(s.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
	s.do("list pods", err)
	for _, p := range pods.Items {
		if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil && p.Status.PodIP != "" {
			addrs = append(addrs, netip.MustParseAddr(p.Status.PodIP))
		}
	}
	return addrs
}
