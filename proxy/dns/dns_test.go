package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/engine"
	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/proxy/proxytest"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

const patience = 5 * time.Second

// book is a policy: what may be asked, what is learned, and how long the kernel
// takes for it.
type book struct {
	judgement engine.Judgement
	mu        sync.Mutex
	learned   map[string]string
	hold      chan struct{} // nil: the kernel takes no time
	failure   error
}

func (b *book) Judge(plan.Packet) engine.Judgement { return b.judgement }

func (b *book) Learn(learned map[string][]netip.Addr) func(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, addrs := range learned {
		b.learned[key] = fmt.Sprint(addrs)
	}
	return func(ctx context.Context) error {
		if b.hold != nil {
			<-b.hold
		}
		return b.failure
	}
}

func (b *book) of(key string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.learned[key]
}

func pattern(t *testing.T, s string) l7.Name {
	n, err := l7.CiliumPattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// newBook lets names be asked that match, and learns those that match another
// pattern.
func newBook(t *testing.T, ask, learn string) *book {
	return &book{
		learned: map[string]string{},
		judgement: engine.Judgement{
			Verdict: traffic.InspectDNS,
			Filters: []l7.Filter{{Rules: []l7.Rule{{By: "x/a", DNS: []l7.Name{pattern(t, ask)}}}}},
			Learns:  []l7.Selector{{Key: "key", Names: []l7.Name{pattern(t, learn)}}},
		},
	}
}

// node is pod a behind the proxy, and a resolver at c.
type node struct {
	*kerneltest.World
	server   *Server
	resolver *resolver
}

func newNode(t *testing.T, b *book, change func(*Options)) *node {
	t.Helper()
	world, sockets := proxytest.NewWorld(t)
	n := &node{World: world}
	options := Options{Policy: b, Sockets: sockets}
	if change != nil {
		change(&options)
	}
	var err error
	if n.server, err = Listen(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.server.Close(); err != nil {
			t.Error(err)
		}
	})
	proxytest.Enforce(t, world, sockets, nft.Proxy{DNS: n.server.Port(), Bypass: true}, map[plan.Row]traffic.Verdict{
		proxytest.To(traffic.UDP, 53): traffic.InspectDNS, proxytest.To(traffic.TCP, 53): traffic.InspectDNS,
	})
	n.resolver = n.resolve(t)
	return n
}

// resolver answers from a zone.
type resolver struct {
	mu     sync.Mutex
	asked  []string                               // names, with who asked
	before func(w dns.ResponseWriter, q *dns.Msg) // an answer of its own comes before
}

var zone = []string{
	"api.example.com. 60 IN A 203.0.113.1",
	"api.example.com. 60 IN AAAA 2001:db8::1",
	"www.example.com. 60 IN CNAME cdn.example.net.",
	"cdn.example.net. 30 IN A 203.0.113.2",
	"svc.example.com. 60 IN HTTPS 1 . ipv4hint=203.0.113.3 ipv6hint=2001:db8::3",
}

func (r *resolver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	r.mu.Lock()
	from, _, _ := net.SplitHostPort(w.RemoteAddr().String())
	r.asked = append(r.asked, q.Question[0].Name+" "+from)
	before := r.before
	r.mu.Unlock()
	if before != nil {
		before(w, q)
	}
	w.WriteMsg(replyTo(q))
}

func replyTo(q *dns.Msg) *dns.Msg {
	reply := new(dns.Msg).SetReply(q)
	names := []string{q.Question[0].Name}
	for _, line := range zone {
		rr, err := dns.NewRR(line)
		if err != nil {
			panic(err) // the zone above is valid
		}
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, rr.Header().Name) }) {
			continue
		}
		if alias, ok := rr.(*dns.CNAME); ok {
			names = append(names, alias.Target)
		} else if rr.Header().Rrtype != q.Question[0].Qtype {
			continue
		}
		rr.Header().Name = strings.Replace(rr.Header().Name, strings.ToLower(names[0]), names[0], 1)
		reply.Answer = append(reply.Answer, rr)
	}
	return reply
}

func (n *node) resolve(t *testing.T) *resolver {
	r := &resolver{}
	for _, protocol := range []string{"udp4", "udp6", "tcp4", "tcp6"} {
		server := &dns.Server{Handler: r}
		err := n.Place("c").Do(func() (err error) {
			if strings.HasPrefix(protocol, "udp") {
				server.PacketConn, err = net.ListenPacket(protocol, ":53")
			} else {
				server.Listener, err = net.Listen(protocol, ":53")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		ended := make(chan struct{})
		go func() { defer close(ended); server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { server.Shutdown(); <-ended })
	}
	return r
}

// ask asks the resolver from pod a.
func (n *node) ask(network string, to netip.Addr, name string, kind uint16, change func(*dns.Msg)) (*dns.Msg, error) {
	var conn net.Conn
	err := n.Place("a").Do(func() (err error) {
		conn, err = net.DialTimeout(network, netip.AddrPortFrom(to, 53).String(), patience)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	q := new(dns.Msg).SetQuestion(name, kind)
	if change != nil {
		change(q)
	}
	client := &dns.Client{Net: network, Timeout: patience, UDPSize: 4096}
	reply, _, err := client.ExchangeWithConn(q, &dns.Conn{Conn: conn})
	return reply, err
}

func texts(m *dns.Msg) string {
	var all []string
	for _, rr := range m.Answer {
		all = append(all, strings.Join(strings.Fields(rr.String())[3:], " "))
	}
	return strings.Join(all, "; ")
}

func TestQueries(t *testing.T) {
	b := newBook(t, "**.example.com", "*.example.com")
	n := newNode(t, b, nil)
	for _, test := range []struct {
		name    string
		kind    uint16
		code    int
		answer  string
		learned string
	}{
		{"api.example.com.", dns.TypeA, dns.RcodeSuccess, "A 203.0.113.1", "[203.0.113.1]"},
		{"API.example.COM.", dns.TypeAAAA, dns.RcodeSuccess, "AAAA 2001:db8::1", "[203.0.113.1 2001:db8::1]"},
		{"www.example.com.", dns.TypeA, dns.RcodeSuccess, "CNAME cdn.example.net.; A 203.0.113.2", "[203.0.113.1 203.0.113.2 2001:db8::1]"},
		{"svc.example.com.", dns.TypeHTTPS, dns.RcodeSuccess, `HTTPS 1 . ipv4hint="203.0.113.3" ipv6hint="2001:db8::3"`, "[203.0.113.1 203.0.113.2 203.0.113.3 2001:db8::1 2001:db8::3]"},
		{"none.example.com.", dns.TypeA, dns.RcodeSuccess, "", "[203.0.113.1 203.0.113.2 203.0.113.3 2001:db8::1 2001:db8::3]"},
		{"cdn.example.net.", dns.TypeA, dns.RcodeRefused, "", "[203.0.113.1 203.0.113.2 203.0.113.3 2001:db8::1 2001:db8::3]"},
	} {
		for _, protocol := range []string{"udp", "tcp"} {
			for _, to := range n.Both("c") {
				reply, err := n.ask(protocol, to, test.name, test.kind, nil)
				if err != nil {
					t.Errorf("%s over %s to %s: %v", test.name, protocol, to, err)
					continue
				}
				if reply.Rcode != test.code || texts(reply) != test.answer {
					t.Errorf("%s over %s to %s: %s, %q, want %q", test.name, protocol, to, dns.RcodeToString[reply.Rcode], texts(reply), test.answer)
				}
				if len(reply.Question) != 1 || reply.Question[0].Name != test.name {
					t.Errorf("%s over %s to %s: the question came back as %v", test.name, protocol, to, reply.Question)
				}
				if got := b.of("key"); got != test.learned {
					t.Errorf("%s over %s to %s: learned %s, want %s", test.name, protocol, to, got, test.learned)
				}
			}
		}
	}
	for _, asked := range n.resolver.asked {
		if name, from, _ := strings.Cut(asked, " "); !slices.Contains(n.Both("a"), netip.MustParseAddr(from)) || name == "cdn.example.net." {
			t.Errorf("the resolver was asked: %s", asked)
		}
	}
}

func TestRefusalsCanBeNXDomain(t *testing.T) {
	n := newNode(t, newBook(t, "api.example.com", "*"), func(o *Options) { o.NXDomain = true })
	reply, err := n.ask("udp", n.V4("c"), "www.example.com.", dns.TypeA, func(q *dns.Msg) { q.SetEdns0(4096, true) })
	if err != nil || reply.Rcode != dns.RcodeNameError || reply.IsEdns0() == nil || !reply.IsEdns0().Do() {
		t.Errorf("answer %v, %v", reply, err)
	}
}

// TestTheAnswerWaitsForTheKernel: no pod can be faster than its rules.
func TestTheAnswerWaitsForTheKernel(t *testing.T) {
	b := newBook(t, "*", "*")
	b.hold = make(chan struct{})
	n := newNode(t, b, nil)
	answered := make(chan error)
	for range 2 {
		go func() {
			_, err := n.ask("udp", n.V4("c"), "api.example.com.", dns.TypeA, nil)
			answered <- err
		}()
	}
	if reply, err := n.ask("udp", n.V4("c"), "none.example.com.", dns.TypeA, nil); err != nil || len(reply.Answer) > 0 {
		t.Fatalf("an answer without addresses: %v, %v", reply, err)
	}
	select {
	case err := <-answered:
		t.Fatalf("an answer came before its address was in force: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(b.hold)
	for range 2 {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
}

func TestAnAnswerThatIsNotInForceIsWithheld(t *testing.T) {
	b := newBook(t, "*", "*")
	b.failure = fmt.Errorf("no room")
	n := newNode(t, b, nil)
	for _, protocol := range []string{"udp", "tcp"} {
		reply, err := n.ask(protocol, n.V4("c"), map[string]string{"udp": "api.example.com.", "tcp": "www.example.com."}[protocol], dns.TypeA, nil)
		if err != nil || reply.Rcode != dns.RcodeServerFailure || len(reply.Answer) > 0 {
			t.Errorf("%s: %v, %v", protocol, reply, err)
		}
	}
}

// TestLies: answers with another ID, to another question, or about other names.
func TestLies(t *testing.T) {
	b := newBook(t, "*", "api.example.com")
	n := newNode(t, b, nil)
	n.resolver.before = func(w dns.ResponseWriter, q *dns.Msg) {
		forged := replyTo(q)
		forged.Answer[0].(*dns.A).A = net.IPv4(192, 0, 2, 66)
		forged.Id++
		w.WriteMsg(forged)
		other := new(dns.Msg).SetQuestion("evil.example.com.", dns.TypeA)
		other.Id = q.Id
		reply := new(dns.Msg).SetReply(other)
		reply.Answer = forged.Answer
		w.WriteMsg(reply)
		w.Write([]byte{1, 2, 3})
	}
	reply, err := n.ask("udp", n.V4("c"), "api.example.com.", dns.TypeA, nil)
	if err != nil || texts(reply) != "A 203.0.113.1" || b.of("key") != "[203.0.113.1]" {
		t.Errorf("%v, %v, learned %s", reply, err, b.of("key"))
	}
	n.resolver.before = func(w dns.ResponseWriter, q *dns.Msg) {
		reply := replyTo(q)
		stray, _ := dns.NewRR("bank.example.com. 60 IN A 192.0.2.67")
		reply.Answer = append(reply.Answer, stray)
		reply.Extra = append(reply.Extra, stray)
		w.WriteMsg(reply)
	}
	if _, err := n.ask("udp", n.V4("c"), "api.example.com.", dns.TypeA, nil); err != nil || b.of("key") != "[203.0.113.1]" {
		t.Errorf("%v, learned %s", err, b.of("key"))
	}
}

// TestWhileNobodyListens: lookups go on, and come through the proxy again later.
func TestWhileNobodyListens(t *testing.T) {
	n := newNode(t, newBook(t, "api.example.com", "*"), nil)
	ask := func(name string) int {
		t.Helper()
		reply, err := n.ask("udp", n.V4("c"), name, dns.TypeA, nil)
		if err != nil {
			t.Fatal(err)
		}
		return reply.Rcode
	}
	if got := ask("www.example.com."); got != dns.RcodeRefused {
		t.Errorf("with the proxy: %s", dns.RcodeToString[got])
	}
	if err := n.server.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ask("api.example.com."); got != dns.RcodeSuccess {
		t.Errorf("without the proxy: %s", dns.RcodeToString[got])
	}
}
