package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/neighbour"
)

// API is what a look at a cluster needs of its API server; kube.Client has it.
type API interface {
	DaemonSets(ctx context.Context) ([]cluster.Name, error)
	ReadyNodes(ctx context.Context) ([]string, error)
	CreateNamespace(ctx context.Context, prefix string) (string, error)
	DeleteNamespace(ctx context.Context, name string) error
	CreatePod(ctx context.Context, pod *corev1.Pod) error
	CreateNetworkPolicy(ctx context.Context, p *networkingv1.NetworkPolicy) error
	Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error)
}

// ProbePort is where a probe's server listens.
const ProbePort = 8080

// Cluster names the policy engines that are installed in a cluster.
func Cluster(ctx context.Context, api API) Report {
	const check = "installed engines"
	var r Report
	sets, err := api.DaemonSets(ctx)
	if err != nil {
		r.add(check, Unknown, err.Error(), "")
		return r
	}
	var evidence neighbour.Evidence
	for _, name := range sets {
		evidence.DaemonSets = append(evidence.DaemonSets, name.Name)
		if name.Name == "bulkhead" {
			r.add(check, Fine, "Bulkhead (DaemonSet "+name.String()+")", "")
		}
	}
	for _, e := range neighbour.Recognise(evidence) {
		r.add(check, Note, e.String(), "")
	}
	if len(r.Findings) == 0 {
		r.add(check, Note, "none that runs as a DaemonSet; k3s and some clouds have one built in, which a probe shows", "")
	}
	return r
}

// Probe says whether anybody enforces in a cluster: it lets a pod connect to
// another, denies that by a policy, and lets it try again, on one node and from
// node to node. All of it is in a namespace of its own that it removes.
type Probe struct {
	API   API
	Image string // has this program as its entry point
	// Wait is how long pods may take to start; zero: two minutes.
	Wait time.Duration
	// Poll is how often to look at them; zero: twice a second.
	Poll time.Duration
}

// Run probes. What it cannot find out is Unknown.
func (p Probe) Run(ctx context.Context) Report {
	const check = "probe"
	if p.Wait == 0 {
		p.Wait = 2 * time.Minute
	}
	if p.Poll == 0 {
		p.Poll = time.Second / 2
	}
	var r Report
	nodes, err := p.API.ReadyNodes(ctx)
	if err != nil || len(nodes) == 0 {
		r.add(check, Unknown, strings.TrimSpace("no node takes pods "+textOf(err)), "")
		return r
	}
	namespace, err := p.API.CreateNamespace(ctx, "bulkhead-doctor-")
	if err != nil {
		r.add(check, Unknown, err.Error(), "use credentials that may create namespaces, pods and networkpolicies")
		return r
	}
	p.in(ctx, namespace, nodes, &r)
	// Also after an interrupt.
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := p.API.DeleteNamespace(clean, namespace); err != nil {
		r.add(check, Note, err.Error(), "kubectl delete namespace "+namespace)
	}
	return r
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// way is a client's place, seen from the server's.
type way struct{ name, words, node string }

func (p Probe) in(ctx context.Context, namespace string, nodes []string, r *Report) {
	const check = "probe"
	address, err := p.serve(ctx, namespace, nodes[0])
	if err != nil {
		r.add(check, Unknown, err.Error(), "")
		return
	}
	ways := []way{{"same-node", "on one node (" + nodes[0] + ")", nodes[0]}}
	if len(nodes) > 1 {
		ways = append(ways, way{"other-node", "from node " + nodes[1] + " to node " + nodes[0], nodes[1]})
	}
	before := p.try(ctx, namespace, "before", ReachAllowed, address, ways)
	ways = slices.DeleteFunc(ways, func(w way) bool {
		if before[w] != nil {
			r.add(check, Unknown, w.words+" the probe's pods do not reach each other even without a policy: "+before[w].Error(),
				"look for another policy that denies by default, or for a fault of the pod network")
		}
		return before[w] != nil
	})
	if len(ways) == 0 {
		return
	}
	if err := p.API.CreateNetworkPolicy(ctx, denyAll(namespace)); err != nil {
		r.add(check, Unknown, err.Error(), "")
		return
	}
	after := p.try(ctx, namespace, "after", ReachDenied, address, ways)
	for _, w := range ways {
		switch err := after[w]; {
		case err == nil:
			r.add(check, Fine, "policies are enforced "+w.words, "")
		case errors.Is(err, errPodFailed):
			r.add(check, Bad, "policies are NOT enforced "+w.words+": a pod was reached that a policy denies everything",
				"install Bulkhead, see docs/install.md; where it is installed, run bulkhead doctor on that node")
		default:
			r.add(check, Unknown, w.words+": "+err.Error(), "")
		}
	}
}

// try runs a client on every way and returns what became of each.
func (p Probe) try(ctx context.Context, namespace, when, want, address string, ways []way) map[way]error {
	results := map[way]error{}
	for _, w := range ways {
		name := when + "-" + w.name
		results[w] = p.API.CreatePod(ctx, p.pod(namespace, name, w.node, "reach", "--want", want, address))
	}
	for _, w := range ways {
		if results[w] == nil {
			results[w] = p.ends(ctx, namespace, when+"-"+w.name)
		}
	}
	return results
}

// serve starts the server and returns where it listens.
func (p Probe) serve(ctx context.Context, namespace, node string) (string, error) {
	const name = "server"
	if err := p.API.CreatePod(ctx, p.pod(namespace, name, node, "serve")); err != nil {
		return "", err
	}
	var address string
	err := p.until(ctx, namespace, name, func(pod *corev1.Pod) (bool, error) {
		if pod.Status.Phase == corev1.PodRunning && pod.Status.PodIP != "" {
			address = joinPort(pod.Status.PodIP)
			return true, nil
		}
		return false, nil
	})
	return address, err
}

func joinPort(ip string) string {
	if strings.Contains(ip, ":") {
		ip = "[" + ip + "]"
	}
	return fmt.Sprintf("%s:%d", ip, ProbePort)
}

var errPodFailed = errors.New("its pod failed")

func (p Probe) ends(ctx context.Context, namespace, name string) error {
	return p.until(ctx, namespace, name, func(pod *corev1.Pod) (bool, error) {
		switch pod.Status.Phase {
		case corev1.PodSucceeded:
			return true, nil
		case corev1.PodFailed:
			return true, outcome(pod)
		}
		return false, nil
	})
}

// outcome tells an answer, by the exit code that reach promises, from a program
// that did not run.
func outcome(pod *corev1.Pod) error {
	for _, c := range pod.Status.ContainerStatuses {
		if t := c.State.Terminated; t != nil && t.ExitCode == 1 {
			return errPodFailed
		} else if t != nil {
			return fmt.Errorf("the program in pod %s ended with %d: %s", pod.Name, t.ExitCode, t.Reason)
		}
	}
	return fmt.Errorf("pod %s failed: %s", pod.Name, pod.Status.Reason)
}

// until looks at a pod until something holds of it.
func (p Probe) until(ctx context.Context, namespace, name string, holds func(*corev1.Pod) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, p.Wait)
	defer cancel()
	last := "it was never seen"
	for {
		pod, err := p.API.Pod(ctx, namespace, name)
		if err == nil {
			if done, err := holds(pod); done {
				return err
			}
			last = waitingFor(pod)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for pod %s: %w: %s", name, ctx.Err(), last)
		case <-time.After(p.Poll):
		}
	}
}

func waitingFor(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil {
			return strings.TrimSpace(w.Reason + " " + w.Message)
		}
	}
	return "it is " + string(pod.Status.Phase)
}

func denyAll(namespace string) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "deny-all"},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}},
	}
}
