package conformance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// e2e is the network policy part of Kubernetes' own end-to-end tests.
var e2e = Suite{
	Name:     "Kubernetes e2e Netpol",
	programs: []string{"ginkgo", "e2e.test"},
	result:   "junit.xml",
	command: func(p place) []string {
		return []string{p.programs["ginkgo"], fmt.Sprintf("--procs=%d", p.procs), "--no-color", "--focus=" + e2eFocus,
			"--output-dir=" + p.dir, "--junit-report=junit.xml", p.programs["e2e.test"],
			"--", "--kubeconfig=" + p.kubeconfig, "--provider=local", "--dns-domain=cluster.local"}
	},
	keep: func(c junitCase) bool { return c.Status != "skipped" && strings.HasPrefix(c.Name, "[It] ") },
}

// e2eFocus takes in every spec of the suite, SCTP too.
const e2eFocus = `\[sig-network\] Netpol `

// cyclonus generates policies and compares the connections between nine pods,
// on two ports and three protocols, with what it has computed itself.
var cyclonus = Suite{
	Name:     "cyclonus generate",
	programs: []string{"cyclonus"},
	result:   "cyclonus.xml",
	command: func(p place) []string {
		// A table that is wrong is probed again, for the engine's sake; without
		// an engine that would only take time.
		retries := 2
		if !p.engine {
			retries = 0
		}
		return []string{"env", "KUBECONFIG=" + p.kubeconfig, p.programs["cyclonus"], "generate",
			// Whether a pod reaches itself is left open by the API.
			"--ignore-loopback",
			"--job-timeout-seconds=1", "--perturbation-wait-seconds=1", fmt.Sprintf("--retries=%d", retries),
			"--junit-results-file=" + filepath.Join(p.dir, "cyclonus.xml")}
	},
	keep: func(junitCase) bool { return true },
}

// patience is how long a suite may take that hangs.
const patience = 4 * time.Hour

// execute runs a suite's program with its output in a file.
func (r *Runner) execute(ctx context.Context, command []string, log string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	output, err := os.Create(log)
	if err != nil {
		return fmt.Errorf("make log: %w", err)
	}
	defer output.Close()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = output, output
	// Ended as one with what it has started, such as ginkgo's processes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w: see %s", filepath.Base(command[0]), err, log)
	}
	return nil
}
