package lab

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/matrix"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

var (
	seed   = flag.Uint64("seed", 0, "where random worlds start; 0 chooses one")
	worlds = flag.Int("worlds", 6, "how many random worlds are tried with packets")
)

// TestPacketsAgreeOnRandomWorlds brings one lab from one random world to the
// next, and sends packets for every connection of each: what the kernel does must
// be what the reference evaluator says, also after a change.
func TestPacketsAgreeOnRandomWorlds(t *testing.T) {
	start := *seed
	if start == 0 {
		start = rand.Uint64()
	}
	t.Logf("random worlds start at -seed %d", start)
	for name, shape := range map[string]gen.Shape{"NetworkPolicy": {}, "whole model": {General: true}, "mixed dialects": {Mixed: true}, "hosts": {General: true, Hosts: true}} {
		t.Run(name, func(t *testing.T) {
			shape.Nodes, shape.Namespaces, shape.Pods, shape.Policies = 2, 3, 9, 8
			tryWorlds(t, shape, start)
		})
	}
}

func tryWorlds(t *testing.T, shape gen.Shape, start uint64) {
	var l *Lab
	tried, denied := 0, 0
	for i := range *worlds {
		w := gen.New(gen.Source(start, i), shape)
		l = bring(t, l, w)
		measured, err := l.Probe(t.Context(), matrix.Connections(w.Snapshot, w.Set), nil)
		if err != nil {
			t.Fatal(err)
		}
		model := verdict.New(w.Snapshot, w.Set)
		for _, m := range measured {
			have := m.Verdict()
			if have == nil {
				continue
			}
			tried++
			if *have == traffic.Deny {
				denied++
			}
			if want := model.Verdict(m.Connection); *have != want {
				t.Errorf("-seed %d, world %d: %s: packets find %s, the evaluator %s, in\n%s", start, i, m.Connection, *have, want, w)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("%d connections, %d of them denied", tried, denied)
	if denied == 0 || denied == tried {
		t.Errorf("%d of %d connections denied: the worlds prove nothing", denied, tried)
	}
}

// bring starts the lab with its first world, and changes it to the others.
func bring(t *testing.T, l *Lab, w *gen.World) *Lab {
	t.Helper()
	if l != nil {
		if err := l.Apply(t.Context(), w.Snapshot, w.Set); err != nil {
			t.Fatal(err)
		}
		return l
	}
	l, err := Start(t.Context(), Config{}, w.Snapshot, w.Set)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
