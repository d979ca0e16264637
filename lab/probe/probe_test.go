package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/listen"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// field is a client and a server on two nodes. The server has TCP 80 and UDP 53
// open; its node drops what is for ports from 1000 to 2999.
type field struct {
	*network.Network
	listeners []listen.Listener
}

const serverAddrs = "10.244.2.10 fd00:244:2::10"

func podName(n string) cluster.Name { return cluster.Name{Namespace: "x", Name: n} }

func newField(t testing.TB) *field {
	t.Helper()
	n, err := network.New(network.Routed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	f := &field{Network: n}
	for i, list := range []string{"10.244.1.10 fd00:244:1::10", serverAddrs} {
		node := fmt.Sprintf("n%d", i+1)
		if err := n.AddNode(&cluster.Node{Name: node, Addrs: addrs(fmt.Sprintf("172.18.0.%d", i+1))}); err != nil {
			t.Fatal(err)
		}
		if err := n.AddPod(&cluster.Pod{Name: podName([]string{"client", "server"}[i]), Node: node, Addrs: addrs(list)}); err != nil {
			t.Fatal(err)
		}
	}
	f.open(t, traffic.TCP, 80)
	f.open(t, traffic.UDP, 53)
	f.drop(t, "th dport 1000-2999 drop")
	return f
}

func addrs(list string) []netip.Addr {
	var found []netip.Addr
	for _, s := range strings.Fields(list) {
		found = append(found, netip.MustParseAddr(s))
	}
	return found
}

func (f *field) open(t testing.TB, protocol traffic.Protocol, port uint16) {
	t.Helper()
	greeter := listen.Greeter{Name: fmt.Sprintf("x/server %s %d", protocol, port)}
	var l listen.Listener
	var err error
	if protocol == traffic.UDP {
		l, err = listen.OpenDatagram(f.Pod(podName("server")), port, greeter.Datagram)
	} else {
		l, err = listen.OpenStream(f.Pod(podName("server")), protocol, port, greeter.Stream)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f.listeners = append(f.listeners, l)
}

// drop puts a rule on the way to the server.
func (f *field) drop(t testing.TB, rule string) {
	t.Helper()
	script := "table inet test { chain pre { type filter hook prerouting priority -90; meta l4proto { tcp, udp } " + rule + "; }; }"
	err := f.Node("n2").Do(func() error {
		out, err := exec.Command("nft", script).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// calm is the network drained and all listeners idle.
func (f *field) calm(ctx context.Context) error {
	if err := f.Drain(ctx); err != nil {
		return err
	}
	for _, l := range f.listeners {
		for idle := false; !idle; {
			var err error
			if idle, err = l.Idle(); err != nil {
				return err
			}
		}
	}
	return f.Drain(ctx)
}

func (f *field) to(protocol traffic.Protocol, address string) Probe {
	return Probe{From: f.Pod(podName("client")), To: netip.MustParseAddrPort(address), Protocol: protocol}
}

func TestOutcomes(t *testing.T) {
	f := newField(t)
	if err := f.Hide(netip.MustParseAddr("10.9.9.9")); err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		probe   Probe
		outcome Outcome
		answer  string
	}{
		{f.to(traffic.TCP, "10.244.2.10:80"), Answered, "x/server TCP 80 from 10.244.1.10"},
		{f.to(traffic.UDP, "10.244.2.10:53"), Answered, "x/server UDP 53 from 10.244.1.10"},
		{f.to(traffic.TCP, "[fd00:244:2::10]:80"), Answered, "x/server TCP 80 from fd00:244:1::10"},
		{f.to(traffic.UDP, "[fd00:244:2::10]:53"), Answered, "x/server UDP 53 from fd00:244:1::10"},
		{f.to(traffic.TCP, "10.244.2.10:81"), Refused, ""},
		{f.to(traffic.UDP, "10.244.2.10:81"), Refused, ""},
		{f.to(traffic.TCP, "[fd00:244:2::10]:81"), Refused, ""},
		{f.to(traffic.UDP, "[fd00:244:2::10]:81"), Refused, ""},
		{f.to(traffic.TCP, "10.244.2.10:1000"), Silent, ""},
		{f.to(traffic.UDP, "10.244.2.10:1000"), Silent, ""},
		{f.to(traffic.TCP, "[fd00:244:2::10]:1000"), Silent, ""},
		{f.to(traffic.UDP, "[fd00:244:2::10]:1000"), Silent, ""},
		{Probe{f.Outside(), netip.MustParseAddr("203.0.113.7"), netip.MustParseAddrPort("10.244.2.10:80"), traffic.TCP},
			Answered, "x/server TCP 80 from 203.0.113.7"},
		{Probe{f.Outside(), netip.MustParseAddr("2600::7"), netip.MustParseAddrPort("[fd00:244:2::10]:53"), traffic.UDP},
			Answered, "x/server UDP 53 from 2600::7"},
		{Probe{f.Outside(), netip.Addr{}, netip.MustParseAddrPort("10.9.9.9:80"), traffic.TCP}, Unknown, ""},
		{Probe{f.Node("n1"), netip.MustParseAddr("203.0.113.7"), netip.MustParseAddrPort("10.244.2.10:80"), traffic.TCP}, Unknown, ""},
	}
	var probes []Probe
	for _, row := range rows {
		probes = append(probes, row.probe)
	}
	results, err := (&Prober{Calm: f.calm}).Run(t.Context(), probes)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		got := results[i]
		if got.Outcome != row.outcome || got.Answer != row.answer || (got.Err != nil) != (row.outcome == Unknown) {
			t.Errorf("%s %s: %s %q %v, want %s %q", row.probe.Protocol, row.probe.To, got.Outcome, got.Answer, got.Err, row.outcome, row.answer)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for outcome, want := range map[Outcome]string{Unknown: "deny false", Silent: "deny true", Refused: "allow true", Answered: "allow true"} {
		v, known := outcome.Verdict()
		if got := fmt.Sprint(v, known); got != want {
			t.Errorf("%s: %s, want %s", outcome, got, want)
		}
	}
}

// TestBusyMachine has more threads that want a CPU than there are. No probe may
// be called silent because its packet had to wait: one round has to do.
func TestBusyMachine(t *testing.T) {
	f := newField(t)
	var stop atomic.Bool
	defer stop.Store(true)
	for range 4 * runtime.GOMAXPROCS(0) {
		go func() {
			for !stop.Load() {
			}
		}()
	}
	var probes []Probe
	for i := range 300 {
		probes = append(probes,
			f.to(traffic.TCP, "10.244.2.10:80"), f.to(traffic.UDP, "10.244.2.10:53"),
			f.to(traffic.UDP, fmt.Sprintf("10.244.2.10:%d", 1000+i)))
	}
	results, all := make([]Result, len(probes)), make([]int, len(probes))
	for i := range all {
		all[i] = i
	}
	if _, err := (&Prober{Calm: f.calm}).round(t.Context(), probes, all, results); err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		want := Answered
		if i%3 == 2 {
			want = Silent
		}
		if r.Outcome != want {
			t.Fatalf("%s %s: %s, %v", probes[i].Protocol, probes[i].To, r.Outcome, r.Err)
		}
	}
}

// TestLosses loses all packets at first and half of the second round; trying
// again finds the way.
func TestLosses(t *testing.T) {
	f := newField(t)
	f.drop(t, "th dport { 53, 80 } quota 15000 bytes drop")
	probes := []Probe{f.to(traffic.TCP, "10.244.2.10:1000")}
	for range 100 {
		probes = append(probes, f.to(traffic.TCP, "10.244.2.10:80"), f.to(traffic.UDP, "10.244.2.10:53"))
	}
	results, err := (&Prober{Calm: f.calm}).Run(t.Context(), probes)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if (r.Outcome == Silent) != (i == 0) {
			t.Errorf("%s %s: %s", probes[i].Protocol, probes[i].To, r.Outcome)
		}
	}
}

func TestProgressAndCancel(t *testing.T) {
	f := newField(t)
	var probes []Probe
	for range atOnce + 1 {
		probes = append(probes, f.to(traffic.UDP, "10.244.2.10:53"))
	}
	var told []int
	p := &Prober{Calm: f.calm, Progress: func(n int) { told = append(told, n) }}
	if _, err := p.Run(t.Context(), probes); err != nil {
		t.Fatal(err)
	}
	if len(told) < 2 || told[len(told)-1] != len(probes) {
		t.Errorf("told %v of %d", told, len(probes))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Run(ctx, probes); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestMissingProtocol(t *testing.T) {
	f := newField(t)
	_, err := listen.Socket(unix.AF_INET, unix.SOCK_STREAM, traffic.SCTP)
	results, runErr := (&Prober{Calm: f.calm}).Run(t.Context(), []Probe{f.to(traffic.SCTP, "10.244.2.10:7")})
	if runErr != nil {
		t.Fatal(runErr)
	}
	if missing := errors.Is(err, listen.ErrUnsupported); missing != errors.Is(results[0].Err, listen.ErrUnsupported) {
		t.Errorf("the kernel says %v, the probe %v", err, results[0].Err)
	}
}

func BenchmarkThousandDenied(b *testing.B) {
	f := newField(b)
	var probes []Probe
	for i := range 1000 {
		probes = append(probes, f.to(traffic.TCP, fmt.Sprintf("10.244.2.10:%d", 1000+i)))
	}
	for b.Loop() {
		if _, err := (&Prober{Calm: f.calm}).Run(b.Context(), probes); err != nil {
			b.Fatal(err)
		}
	}
}
