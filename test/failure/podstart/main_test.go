package podstart

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
)

var (
	network = flag.String("pod-network", "routed", "how pods are connected: routed or bridge")
	starts  = flag.Int("starts", 25, "how many pods are started")
)

// shared is a cluster of two nodes with Bulkhead's agent on both.
var (
	shared  *cluster.Cluster
	program string // the agent's file
)

const agentAddress = "127.0.0.1:9477"

func command(more ...string) []string {
	return append([]string{program, "agent", "--kubeconfig", "{kubeconfig}", "--node-name", "{node}", "--listen", agentAddress}, more...)
}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "bulkhead-podstart-*")
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
		Progress: os.Stderr, LogDir: os.Getenv("BULKHEAD_PODSTART_LOGS"),
		Config: control.Config{Engine: command(), EngineReady: "http://" + agentAddress + "/readyz", NoDNS: true, PodNetwork: *network},
	})
	if err != nil {
		return 1, err
	}
	code = m.Run()
	return code, shared.Stop()
}
