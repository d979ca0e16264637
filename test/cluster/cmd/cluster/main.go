// Command cluster runs a real Kubernetes cluster on this machine: up, down, or
// for as long as a command takes.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"
)

// The main thread is never lent to a namespace; see package ns.
func init() { runtime.LockOSThread() }

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	cancel()
	os.Exit(exitCode(err))
}

// exitCode is that of the command that was run, if one was.
func exitCode(err error) int {
	var exit *exec.ExitError
	var code codeError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(os.Stderr, "cluster:", err)
	return 2
}

// A codeError ends the program with a code and without a word.
type codeError int

func (c codeError) Error() string { return fmt.Sprint("exit code ", int(c)) }

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Run a real Kubernetes cluster in namespaces of this machine",
		Long: `Cluster runs etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy
and CoreDNS as released, with nodes and pods as Linux namespaces, and a policy engine
of your choice on every node. It shares nothing with the machine but its CPU; when it
ends, however it ends, nothing is left.`,
		SilenceErrors: true, SilenceUsage: true,
	}
	cmd.AddCommand(up(), down(), run(), status(), execute(), processCommand(), build())
	cmd.AddCommand(boot(), machineCommand(), enter())
	return cmd
}
