// Package dialects applies policies of every dialect to a real cluster and asks
// real connections what became of them.
package dialects

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
)

// shared is a cluster of two nodes with Bulkhead's agent on both, and program the
// agent's file.
var (
	shared  *cluster.Cluster
	program string
)

const agentAddress = "127.0.0.1:9477"

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "bulkhead-dialects-*")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "bulkhead")
	build := exec.Command("go", "build", "-o", program, "./cmd/bulkhead")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build agent: %w: %s", err, out)
	}
	shared, err = cluster.Start(context.Background(), cluster.Config{
		Progress: os.Stderr, LogDir: os.Getenv("BULKHEAD_DIALECTS_LOGS"),
		Config: control.Config{
			Engine:      []string{program, "agent", "--kubeconfig", "{kubeconfig}", "--node-name", "{node}", "--listen", agentAddress},
			EngineReady: "http://" + agentAddress + "/readyz", NoDNS: true,
		},
	})
	if err != nil {
		return 1, err
	}
	code = m.Run()
	return code, shared.Stop()
}
