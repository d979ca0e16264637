package podroute

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/lab/network"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) { kerneltest.Main(m) }

// watching is what Watch tells of node one.
func watching(t *testing.T, w *kerneltest.World) <-chan []netip.Prefix {
	t.Helper()
	told, ended := make(chan []netip.Prefix, 100), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- Watch(ctx, w.Place(kerneltest.NodeOne).FD(), func(p []netip.Prefix) { told <- p })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
	return told
}

// await waits until the addresses are those and no others.
func await(t *testing.T, told <-chan []netip.Prefix, want ...netip.Addr) {
	t.Helper()
	slices.SortFunc(want, netip.Addr.Compare)
	var got []netip.Addr
	for {
		select {
		case prefixes := <-told:
			got = nil
			for _, p := range prefixes {
				got = append(got, p.Addr())
			}
			if slices.Equal(got, want) {
				return
			}
		case <-time.After(patience):
			t.Fatalf("told %v, want %v", got, want)
		}
	}
}

func TestPodsThatComeAndGo(t *testing.T) {
	w := kerneltest.NewWorld(t, network.Routed)
	told := watching(t, w)
	known := slices.Concat(w.Both("a"), w.Both("b"))
	await(t, told, slices.Clone(known)...)
	fresh := &cluster.Pod{
		Name: cluster.Name{Namespace: "x", Name: "fresh"}, Node: kerneltest.NodeOne,
		Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")},
	}
	for range 3 {
		if err := w.AddPod(fresh); err != nil {
			t.Fatal(err)
		}
		await(t, told, slices.Concat(known, fresh.Addrs)...)
		if err := w.RemovePod(fresh.Name); err != nil {
			t.Fatal(err)
		}
		await(t, told, slices.Clone(known)...)
	}
}

// On a bridge no pod has a route of its own.
func TestABridgeHasNone(t *testing.T) {
	await(t, watching(t, kerneltest.NewWorld(t, network.Bridged)))
}
