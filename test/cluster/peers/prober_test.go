package peers

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

func init() { runtime.LockOSThread() }

var loopback = netip.MustParseAddr("127.0.0.1")

// alone is a network namespace with a loopback device.
func alone(t *testing.T) ns.View {
	t.Helper()
	view, err := ns.New(ns.View{}, unix.CLONE_NEWNET, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { view.Close() })
	return view
}

func TestAProberSeesTheEndAndTheBeginningOfAServer(t *testing.T) {
	view := alone(t)
	target := netip.AddrPortFrom(loopback, servicePort)
	first, err := serve(view, loopback, servicePort)
	if err != nil {
		t.Fatal(err)
	}
	p := probe(view, target, time.Millisecond, time.Second)
	if _, err := p.awaitPass(t.Context(), time.Now()); err != nil {
		t.Error(err)
	}
	first.close()
	closed := time.Now()
	last, err := p.awaitQuiet(t.Context(), closed)
	if err != nil {
		t.Error(err)
	}
	second, err := serve(view, loopback, servicePort)
	if err != nil {
		t.Fatal(err)
	}
	defer second.close()
	begun, err := p.awaitPass(t.Context(), last.Add(quiet))
	if err != nil || begun.Before(closed) {
		t.Errorf("the first connection after %s is at %s, %v", closed, begun, err)
	}
	all, err := p.stop()
	if err != nil {
		t.Fatal(err)
	}
	count := passed(all)
	if count == 0 || count == len(all) {
		t.Errorf("%d of %d tries were let through", count, len(all))
	}
	for _, a := range all {
		if !a.over {
			t.Fatalf("the try of %s is not over", a.start)
		}
	}
}

func TestConnectionsAreCounted(t *testing.T) {
	view := alone(t)
	s, err := serve(view, loopback, servicePort)
	if err != nil {
		t.Fatal(err)
	}
	rate, err := connections(t.Context(), view, netip.AddrPortFrom(loopback, servicePort))
	if err != nil || rate <= 0 {
		t.Errorf("%f connections per second, %v", rate, err)
	}
	s.close()
	if rate, err := connections(t.Context(), view, netip.AddrPortFrom(loopback, servicePort)); err == nil {
		t.Errorf("%f connections per second to nobody", rate)
	}
}
