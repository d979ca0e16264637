package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/compile"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
)

// updates are the times of changes of one pod, in milliseconds, and of starts.
type updates struct {
	Addresses int                `json:"addresses"`
	Kinds     map[string]*timing `json:"kinds"`
	// Reload is the time from another program's flush of all tables until ours is
	// back; Adopt that of a start that finds the table as it should be.
	Reload float64 `json:"reloadMilliseconds"`
	Adopt  float64 `json:"adoptMilliseconds"`
}

type timing struct {
	Compile  []float64 `json:"compileMilliseconds"`
	Kernel   []float64 `json:"kernelMilliseconds"`
	Elements []float64 `json:"elements"`
}

// timeUpdates lets pods of other nodes and of this one start, change and stop.
func timeUpdates(ctx context.Context, d *nft.Dataplane, c *compile.Compiler, w *gen.World, n int) (*updates, error) {
	say("timing changes of one pod")
	u := &updates{Addresses: len(c.Plan().Addrs), Kinds: map[string]*timing{}}
	names := slices.SortedFunc(maps.Keys(w.Snapshot.Pods), func(a, b cluster.Name) int { return strings.Compare(a.String(), b.String()) })
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		pod := w.Snapshot.Pods[names[r.IntN(len(names))]]
		if pod.Namespace == namespace {
			continue
		}
		where := "elsewhere"
		if i%4 == 0 { // of the 250 pods of this node
			where = "here"
			for pod.Node != node || pod.Namespace == namespace {
				pod = w.Snapshot.Pods[names[r.IntN(len(names))]]
			}
		}
		changed := *pod
		changed.Labels = maps.Clone(pod.Labels)
		changed.Labels["app"] = fmt.Sprintf("app-%d", r.IntN(10))
		fresh := *pod
		fresh.Name.Name, fresh.Addrs = "fresh", []netip.Addr{netip.AddrFrom4([4]byte{10, 254, byte(i >> 8), byte(i)})}
		for _, step := range []struct {
			kind string
			tell func()
		}{
			{"other labels", func() { c.SetPod(&changed) }},
			{"labels back", func() { c.SetPod(pod) }},
			{"start", func() { c.SetPod(&fresh) }},
			{"stop", func() { c.DeletePod(fresh.Name) }},
		} {
			step.tell()
			if err := u.time(ctx, d, c, where+", "+step.kind); err != nil {
				return nil, err
			}
		}
	}
	return u, u.timeStarts(ctx, d, c)
}

func (u *updates) time(ctx context.Context, d *nft.Dataplane, c *compile.Compiler, kind string) error {
	start := time.Now()
	diff := c.Commit()
	compiled := time.Now()
	if diff.Empty() {
		return nil
	}
	if err := d.Update(ctx, diff, c.Plan()); err != nil {
		return err
	}
	t, ok := u.Kinds[kind]
	if !ok {
		t = &timing{}
		u.Kinds[kind] = t
	}
	t.Compile = append(t.Compile, milliseconds(compiled.Sub(start)))
	t.Kernel = append(t.Kernel, milliseconds(time.Since(compiled)))
	t.Elements = append(t.Elements, float64(diff.Len()))
	return nil
}

// timeStarts times a start that finds everything in place, and one that finds
// nothing.
func (u *updates) timeStarts(ctx context.Context, d *nft.Dataplane, c *compile.Compiler) error {
	start := time.Now()
	if err := d.Apply(ctx, c.Plan()); err != nil {
		return err
	}
	u.Adopt = milliseconds(time.Since(start))
	if err := d.Delete(ctx); err != nil {
		return err
	}
	start = time.Now()
	if err := d.Apply(ctx, c.Plan()); err != nil {
		return err
	}
	u.Reload = milliseconds(time.Since(start))
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (u *updates) print(out io.Writer) {
	fmt.Fprintf(out, "\none pod changed, with %d addresses in the table (median, and the 99th of 100)\n", u.Addresses)
	for _, kind := range slices.Sorted(maps.Keys(u.Kinds)) {
		t := u.Kinds[kind]
		fmt.Fprintf(out, "  %-26s compile %.3f ms (%.3f)  kernel %.3f ms (%.3f)  elements %.0f (%.0f)\n", kind,
			median(t.Compile), quantile(t.Compile, 0.99), median(t.Kernel), quantile(t.Kernel, 0.99), median(t.Elements), quantile(t.Elements, 0.99))
	}
	fmt.Fprintf(out, "  taking over a table that is as it should be: %.0f ms; putting back one that is gone: %.0f ms\n", u.Adopt, u.Reload)
}
