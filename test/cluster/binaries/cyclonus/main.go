// Command cyclonus runs the cases that cyclonus generates against a cluster.
//
// Cases, expectations, comparison and report are cyclonus' own packages. What is
// different from its program is the way to the cluster: requests are not held back
// to five a second, and a pod's probes go out together, through one command in the
// pod, where the program starts a command for each of five hundred, fifteen at a
// time. A case takes seconds, not half a minute, and cases can be split among
// clusters.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/mattfenwick/cyclonus/pkg/connectivity"
	"github.com/mattfenwick/cyclonus/pkg/connectivity/probe"
	"github.com/mattfenwick/cyclonus/pkg/generator"
	corev1 "k8s.io/api/core/v1"
)

// options are those of cyclonus generate that matter here, and the part.
type options struct {
	retries, wait int
	part, parts   int
	junit         string
}

func main() {
	var o options
	var part string
	flag.IntVar(&o.retries, "retries", 0, "how often a table of probes that is wrong is made again")
	flag.IntVar(&o.wait, "perturbation-wait-seconds", 1, "how long to wait after a change")
	flag.StringVar(&part, "part", "1/1", "K/N: every Nth case, from the Kth on")
	flag.StringVar(&o.junit, "junit-results-file", "", "file for the outcome of each case")
	flag.Parse()
	if _, err := fmt.Sscanf(part, "%d/%d", &o.part, &o.parts); err != nil || o.part < 1 || o.part > o.parts {
		fmt.Fprintf(os.Stderr, "cyclonus: parse part %q: want K/N with K from 1 to N\n", part)
		os.Exit(2)
	}
	if err := o.run(); err != nil {
		fmt.Fprintln(os.Stderr, "cyclonus:", err)
		os.Exit(1)
	}
}

var (
	namespaces = []string{"x", "y", "z"}
	pods       = []string{"a", "b", "c"}
	ports      = []int{80, 81}
	protocols  = []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
)

const (
	podTimeout = 120 // seconds until all pods must run
	registry   = "registry.k8s.io"
)

func (o *options) run() error {
	cluster, err := connect()
	if err != nil {
		return err
	}
	resources, err := probe.NewDefaultResources(cluster, namespaces, pods, ports, protocols, nil, podTimeout, false, registry)
	if err != nil {
		return fmt.Errorf("make pods: %w", err)
	}
	cases, err := o.cases(resources)
	if err != nil {
		return err
	}
	printer := &connectivity.Printer{IgnoreLoopback: true}
	interpreter := connectivity.NewInterpreter(cluster, resources, &connectivity.InterpreterConfig{
		ResetClusterBeforeTestCase: true, VerifyClusterStateBeforeTestCase: true,
		KubeProbeRetries: o.retries, PerturbationWaitSeconds: o.wait, BatchJobs: true, IgnoreLoopback: true,
	})
	var outcomes []outcome
	for i, c := range cases {
		result := interpreter.ExecuteTestCase(c)
		if result.Err != nil {
			return fmt.Errorf("execute %s: %w", c.Description, result.Err)
		}
		printer.PrintTestCaseResult(result)
		outcomes = append(outcomes, outcomeOf(result))
		fmt.Printf("case %d of %d %s\n", i+1, len(cases), outcomes[i])
	}
	printer.PrintSummary()
	return writeJUnit(o.junit, outcomes)
}

// cases are those of this part, of all that cyclonus can generate. Their names,
// of which many are the same, get the number of the case among all.
func (o *options) cases(resources *probe.Resources) ([]*generator.TestCase, error) {
	target, err := resources.GetPod("z", "c")
	if err != nil {
		return nil, fmt.Errorf("find pod of policies with addresses: %w", err)
	}
	var mine []*generator.TestCase
	for i, c := range generator.NewTestCaseGenerator(true, target.IP, namespaces, nil, nil).GenerateTestCases() {
		c.Description = fmt.Sprintf("#%03d %s", i+1, c.Description)
		if i%o.parts == o.part-1 {
			mine = append(mine, c)
		}
	}
	return mine, nil
}
