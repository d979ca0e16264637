package failure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
)

// shared is a cluster of two nodes with Bulkhead's agent on both, and program
// the agent's file.
var (
	shared  *cluster.Cluster
	program string
)

const agentAddress = "127.0.0.1:9477"

func command(path string) []string {
	return []string{path, "agent", "--kubeconfig", "{kubeconfig}", "--node-name", "{node}", "--listen", agentAddress}
}

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 3 && os.Args[1] == superviseClock:
		end(supervise(os.Args[2], os.Args[3:]))
	case len(os.Args) > 2 && os.Args[1] == becomeProgram:
		end(1, become(os.Args[2:]))
	}
	end(run(m))
}

func end(code int, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "bulkhead-failure-*")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "bulkhead")
	build := exec.Command("go", "build", "-o", program, "./cmd/bulkhead")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build agent: %w: %s", err, out)
	}
	shared, err = cluster.Start(context.Background(), cluster.Config{
		Progress: os.Stderr, LogDir: os.Getenv("BULKHEAD_FAILURE_LOGS"),
		Config: control.Config{Engine: command(program), EngineReady: "http://" + agentAddress + "/readyz", NoDNS: true, ReuseAddresses: true},
	})
	if err != nil {
		return 1, err
	}
	code = m.Run()
	return code, errors.Join(report.publish(code == 0), shared.Stop())
}
