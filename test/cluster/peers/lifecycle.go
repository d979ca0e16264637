package peers

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

const (
	startPort = 8081
	// dead is how long an engine is gone, and watched how long packets are counted
	// from its end on.
	dead    = 2 * time.Second
	watched = 30 * time.Second
	// restartPeriod is between the tries of a client while an engine restarts, and
	// restartTimeout as long as TCP lets a try have a single packet.
	restartPeriod  = 5 * time.Millisecond
	restartTimeout = 900 * time.Millisecond
)

// start times for how long a new pod that a policy denies everything is reachable
// all the same. The pod serves as soon as its network is there.
func start(ctx context.Context, config *Config, worlds []*world) error {
	for _, w := range worlds {
		if w.engine.None() {
			continue
		}
		if err := w.policy(ctx, benchSpace, "denied", selects("denied")); err != nil {
			return err
		}
	}
	for range config.Times {
		for _, w := range worlds {
			if w.engine.None() {
				continue
			}
			if err := w.startDenied(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) startDenied(ctx context.Context) error {
	if err := w.createPod(ctx, benchSpace, "denied", targetNode); err != nil {
		return err
	}
	view, err := w.enterSoon(ctx, "denied")
	if err != nil {
		return err
	}
	defer view.Close()
	address, err := ownAddress(view)
	if err != nil {
		return err
	}
	from := time.Now()
	s, err := serve(view, address, startPort)
	if err != nil {
		return err
	}
	defer s.close()
	p := probe(w.pods["client"], netip.AddrPortFrom(address, startPort), probePeriod, probeTimeout)
	last, err := p.awaitQuiet(ctx, from)
	if err == nil {
		w.result.Open = append(w.result.Open, since(from, last))
	}
	if _, failed := p.stop(); failed != nil {
		return fmt.Errorf("probe: %w", failed)
	}
	if err != nil {
		return fmt.Errorf("new pod: %w", err)
	}
	if err := w.deletePod(ctx, "denied"); err != nil {
		return err
	}
	return await(ctx, "end of pod", func() (bool, error) {
		_, err := w.c.Pod(ctx, benchSpace, "denied")
		return err != nil, nil
	})
}

// enterSoon opens a pod's network namespace as soon as there is one.
func (w *world) enterSoon(ctx context.Context, name string) (ns.View, error) {
	limit := time.Now().Add(patience)
	for {
		view, err := w.enter(ctx, name)
		if err == nil {
			return view, nil
		}
		if time.Now().After(limit) || ctx.Err() != nil {
			return ns.View{}, err
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// ownAddress is a pod's own, which it has before the API knows it.
func ownAddress(pod ns.View) (address netip.Addr, err error) {
	err = pod.Do(func() error {
		all, err := net.InterfaceAddrs()
		if err != nil {
			return err
		}
		for _, a := range all {
			if prefix, ok := a.(*net.IPNet); ok && prefix.IP.IsGlobalUnicast() && prefix.IP.To4() != nil {
				address, _ = netip.AddrFromSlice(prefix.IP.To4())
				return nil
			}
		}
		return fmt.Errorf("find address of pod among %v", all)
	})
	return address, err
}

func addressOf(o runtime.Object) netip.Addr {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return netip.Addr{}
	}
	// Not yet an address is the zero one.
	address, _ := netip.ParseAddr(pod.Status.PodIP)
	return address
}

// restart kills the engine of the target's node, starts it again two seconds
// later, and counts what an allowed client loses and a denied one gets through.
func restart(ctx context.Context, config *Config, worlds []*world) error {
	for _, w := range worlds {
		if w.engine.None() {
			continue
		}
		if err := w.policy(ctx, benchSpace, "client", selects("target"), allows(benchSpace, "client", servicePort)); err != nil {
			return err
		}
		if err := w.restart(ctx); err != nil {
			return err
		}
		if err := w.deletePolicy(ctx, "client"); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) restart(ctx context.Context) error {
	target := netip.AddrPortFrom(w.address, servicePort)
	if err := w.awaitReach(ctx, "stranger", target, false); err != nil {
		return err
	}
	if err := w.awaitReach(ctx, "client", target, true); err != nil {
		return err
	}
	allowed := probe(w.pods["client"], target, restartPeriod, restartTimeout)
	denied := probe(w.pods["stranger"], target, restartPeriod, restartTimeout)
	failed := w.killAndStart(ctx)
	all, err := allowed.stop()
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	none, err := denied.stop()
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	w.result.Restart = &Restart{Tries: len(all), Lost: len(all) - passed(all), Leaked: passed(none)}
	return failed
}

func (w *world) killAndStart(ctx context.Context) error {
	engine := w.c.Node(1).Engine()
	if err := engine.Kill(ctx); err != nil {
		return err
	}
	killed := time.Now()
	if err := sleep(ctx, dead); err != nil {
		return err
	}
	if err := engine.Start(ctx); err != nil {
		return err
	}
	return sleep(ctx, watched-time.Since(killed))
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func passed(attempts []attempt) int {
	count := 0
	for _, a := range attempts {
		if a.passed {
			count++
		}
	}
	return count
}
