package conformance

import (
	"fmt"
	"path/filepath"
	"strings"
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
// on two ports and three protocols, with what it has computed itself. All that it
// can generate is run, beside the half that it runs when nothing is said. Whether
// a pod reaches itself is ignored, since the API leaves that open.
var cyclonus = Suite{
	Name:     "cyclonus generate",
	programs: []string{"cyclonus"},
	result:   "cyclonus.xml",
	Parts:    true,
	progress: "case ",
	command: func(p place) []string {
		// A table that is wrong is probed again, for the engine's sake; without
		// an engine that would only take time.
		retries := 2
		if !p.engine {
			retries = 0
		}
		return []string{"env", "KUBECONFIG=" + p.kubeconfig, p.programs["cyclonus"], "--part=" + p.part.String(),
			fmt.Sprintf("--retries=%d", retries), "--junit-results-file=" + filepath.Join(p.dir, "cyclonus.xml")}
	},
	keep: func(junitCase) bool { return true },
}
