package doctor

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// fakeAPI is a cluster whose pods end at once, as a test says.
type fakeAPI struct {
	sets  []cluster.Name
	nodes []string
	// outcome is a pod's exit code by its name; pods that are not in it run for
	// ever. -1: its program does not start.
	outcome map[string]int32
	fails   map[string]error // by what is asked

	mu      sync.Mutex
	pods    map[string]*corev1.Pod
	policy  *networkingv1.NetworkPolicy
	deleted []string
}

func (f *fakeAPI) DaemonSets(context.Context) ([]cluster.Name, error) {
	return f.sets, f.fails["daemonsets"]
}

func (f *fakeAPI) ReadyNodes(context.Context) ([]string, error) { return f.nodes, f.fails["nodes"] }

func (f *fakeAPI) CreateNamespace(_ context.Context, prefix string) (string, error) {
	return prefix + "x", f.fails["namespace"]
}

func (f *fakeAPI) DeleteNamespace(ctx context.Context, name string) error {
	f.deleted = append(f.deleted, name)
	return errors.Join(f.fails["delete"], ctx.Err())
}

func (f *fakeAPI) CreateNetworkPolicy(_ context.Context, p *networkingv1.NetworkPolicy) error {
	f.policy = p
	return f.fails["policy"]
}

func (f *fakeAPI) CreatePod(_ context.Context, pod *corev1.Pod) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pods == nil {
		f.pods = map[string]*corev1.Pod{}
	}
	pod.Status.Phase, pod.Status.PodIP = corev1.PodRunning, "10.0.0.1"
	switch code, ends := f.outcome[pod.Name]; {
	case code < 0:
		pod.Status.Phase, pod.Status.PodIP = corev1.PodPending, ""
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"},
		}}}
	case ends:
		pod.Status.Phase = corev1.PodFailed
		if code == 0 {
			pod.Status.Phase = corev1.PodSucceeded
		}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error"},
		}}}
	}
	f.pods[pod.Name] = pod
	return f.fails["pod"]
}

func (f *fakeAPI) Pod(_ context.Context, _, name string) (*corev1.Pod, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pods[name], nil
}

func TestProbeSaysWhoIsEnforced(t *testing.T) {
	two := []string{"n1", "n2"}
	all := func(before, sameAfter, otherAfter int32) map[string]int32 {
		return map[string]int32{
			"before-same-node": before, "before-other-node": before,
			"after-same-node": sameAfter, "after-other-node": otherAfter,
		}
	}
	for _, test := range []struct {
		name    string
		nodes   []string
		outcome map[string]int32
		fails   map[string]error
		want    []string
	}{
		{"enforced", two, all(0, 0, 0), nil, []string{"fine probe: enforced on one node (n1)", "fine probe: enforced from node n2 to node n1"}},
		{"nobody enforces", two, all(0, 1, 1), nil, []string{"bad probe: NOT enforced on one node", "bad probe: NOT enforced from node n2"}},
		{"a bridge lets pods of one node through", two, all(0, 1, 0), nil, []string{"bad probe: NOT enforced on one node", "fine probe: enforced from node n2"}},
		{"one node", two[:1], all(0, 0, 0), nil, []string{"fine probe: enforced on one node"}},
		{"the network is broken", two, all(1, 0, 0), nil, []string{"unknown probe: on one node (n1) the probe's pods do not reach", "unknown probe: from node n2"}},
		{"the program crashes", two, all(0, 2, 0), nil, []string{"unknown probe: ended with 2", "fine probe: enforced from node n2"}},
		{"no image", two, map[string]int32{"server": -1}, nil, []string{"unknown probe: ImagePullBackOff"}},
		{"no nodes", nil, nil, nil, []string{"unknown probe: no node takes pods"}},
		{"may not list nodes", nil, nil, map[string]error{"nodes": errors.New("forbidden")}, []string{"unknown probe: forbidden"}},
		{"may not make namespaces", two, nil, map[string]error{"namespace": errors.New("forbidden")}, []string{"unknown probe: forbidden"}},
		{"may not make pods", two, nil, map[string]error{"pod": errors.New("forbidden")}, []string{"unknown probe: forbidden"}},
		{"may not make policies", two, all(0, 0, 0), map[string]error{"policy": errors.New("forbidden")}, []string{"unknown probe: forbidden"}},
		{"leaves something behind", two[:1], all(0, 0, 0), map[string]error{"delete": errors.New("gone away")}, []string{"fine probe: enforced", "note probe: gone away"}},
	} {
		api := &fakeAPI{nodes: test.nodes, outcome: test.outcome, fails: test.fails}
		r := Probe{API: api, Image: "x", Wait: 20 * time.Millisecond, Poll: time.Millisecond}.Run(t.Context())
		if len(r.Findings) != len(test.want) {
			t.Errorf("%s: %d findings, want %d: %+v", test.name, len(r.Findings), len(test.want), r.Findings)
		}
		for _, want := range test.want {
			if !has(r, want) {
				t.Errorf("%s: no finding %q in %+v", test.name, want, r.Findings)
			}
		}
		made := test.nodes != nil && test.fails["namespace"] == nil
		if made != slices.Equal(api.deleted, []string{"bulkhead-doctor-x"}) {
			t.Errorf("%s: deleted %q", test.name, api.deleted)
		}
	}
}

func TestProbeCleansUpAfterAnInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	api := &fakeAPI{nodes: []string{"n1"}, outcome: map[string]int32{"server": -1}}
	r := Probe{API: api, Image: "x"}.Run(ctx)
	if len(api.deleted) != 1 || len(r.Findings) != 1 || r.Findings[0].Grade != Unknown {
		t.Errorf("deleted %q, findings %+v: want the namespace gone and no note", api.deleted, r.Findings)
	}
}

func TestProbesPodsAskForLittle(t *testing.T) {
	pod := Probe{Image: "x"}.pod("ns", "server", "n1", "serve")
	s := pod.Spec.Containers[0].SecurityContext
	if !*s.RunAsNonRoot || *s.AllowPrivilegeEscalation || len(s.Capabilities.Add) > 0 || *pod.Spec.AutomountServiceAccountToken {
		t.Errorf("security context %+v", s)
	}
}

func TestClusterNamesWhatIsInstalled(t *testing.T) {
	for _, test := range []struct {
		sets []cluster.Name
		err  error
		want string
	}{
		{nil, nil, "note installed engines: none"},
		{[]cluster.Name{{Namespace: "kube-system", Name: "bulkhead"}}, nil, "fine installed engines: Bulkhead (DaemonSet kube-system/bulkhead)"},
		{[]cluster.Name{{Namespace: "kube-system", Name: "azure-npm"}}, nil, "note installed engines: Azure NPM (DaemonSet azure-npm)"},
		{nil, errors.New("forbidden"), "unknown installed engines: forbidden"},
	} {
		api := &fakeAPI{sets: test.sets, fails: map[string]error{"daemonsets": test.err}}
		if r := Cluster(t.Context(), api); len(r.Findings) != 1 || !has(r, test.want) {
			t.Errorf("%v: %+v, want %q", test.sets, r.Findings, test.want)
		}
	}
}

// TestServeAndReach: denied is what fails three times in a row.
func TestServeAndReach(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- Serve(ctx, listener) }()
	address := listener.Addr().String()
	if !Reach(t.Context(), address, ReachAllowed) {
		t.Error("does not reach who listens")
	}
	short, stop := context.WithTimeout(t.Context(), 3*reachPause)
	defer stop()
	if Reach(short, address, ReachDenied) {
		t.Error("takes who listens for denied")
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("served with %v", err)
	}
	if !Reach(t.Context(), address, ReachDenied) {
		t.Error("takes nobody for somebody")
	}
}

// TestStrangerIsNotTheServer: another program may have the address by now.
func TestStrangerIsNotTheServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte(strings.Repeat("x", len(greeting))))
			conn.Close()
		}
	}()
	if connects(t.Context(), listener.Addr().String()) {
		t.Error("a stranger's greeting was taken for the server's")
	}
}
