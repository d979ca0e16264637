package examples

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bulkhead-dev/bulkhead/lab"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/matrix"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

func TestPacketsMeetExpectations(t *testing.T) {
	for _, dir := range scenarios(t) {
		for _, mode := range []network.Mode{network.Routed, network.Bridged} {
			t.Run(filepath.Join(dir, mode.String()), func(t *testing.T) {
				expect := readExpectations(t, filepath.Join(dir, "expect.txt"))
				for _, row := range measure(t, dir, mode) {
					if row.Measured == nil {
						t.Logf("%s -> %s %s %d cannot be sent on this kernel", row.From, row.To, row.Protocol, row.Port)
						continue
					}
					if _, err := os.Stat(filepath.Join(dir, "routed-only.txt")); err == nil && mode == network.Bridged {
						expect.checkClosed(t, row, *row.Measured)
						continue
					}
					expect.check(t, row, *row.Measured)
				}
			})
		}
	}
}

// measure puts an example into a lab of two nodes and tries every connection.
func measure(t *testing.T, dir string, mode network.Mode) []matrix.Row {
	t.Helper()
	bundle, err := manifest.Load([]string{dir}, manifest.Options{Nodes: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.Start(t.Context(), lab.Config{Network: mode}, bundle.Snapshot, bundle.Policies)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	measured, err := l.Probe(t.Context(), matrix.Connections(bundle.Snapshot, bundle.Policies), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Failed(measured); err != nil {
		t.Fatal(err)
	}
	return rows(verdict.New(bundle.Snapshot, bundle.Policies), measured)
}

func rows(model *verdict.Evaluator, measured []lab.Measurement) []matrix.Row {
	connections := make([]verdict.Connection, len(measured))
	verdicts := make([]*traffic.Verdict, len(measured))
	for i, m := range measured {
		connections[i], verdicts[i] = m.Connection, m.Verdict()
	}
	return matrix.New(model, connections, verdicts).Rows
}
