package cluster_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
)

func init() { runtime.LockOSThread() }

// shared is a cluster for tests that leave it as it was: two nodes, both IP
// families, routed pods, and an engine that does nothing.
var shared *cluster.Cluster

// idleEngine shows in its log and in its command where it runs.
var idleEngine = []string{"sh", "-c", "echo engine of $NODE_NAME at {node-ip} with {kubeconfig}; exec sleep 100000", "{node}"}

func TestMain(m *testing.M) {
	c, err := cluster.Start(context.Background(), cluster.Config{
		Progress: os.Stderr,
		Config:   control.Config{Families: "ipv4,ipv6", Engine: idleEngine},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	shared = c
	code := m.Run()
	if err := c.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
