// Package nri_test has NRI's own library speak as the runtime, as it does in
// containerd and CRI-O, to the agent's side of the protocol. The library brings
// more than a product should depend on, so the test has a module of its own.
package nri_test

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/adaptation"

	"github.com/bulkhead-dev/bulkhead/agent"
	"github.com/bulkhead-dev/bulkhead/agent/nri"
	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/dataplane/fake"
	"github.com/bulkhead-dev/bulkhead/policy"
)

const patience = time.Minute

// runtime starts NRI's side, with pods that run already.
func runtime(t *testing.T, running ...*adaptation.PodSandbox) (*adaptation.Adaptation, string) {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "nri.sock")
	sync := func(ctx context.Context, f adaptation.SyncCB) error {
		_, err := f(ctx, running, nil)
		return err
	}
	update := func(context.Context, []*adaptation.ContainerUpdate) ([]*adaptation.ContainerUpdate, error) {
		return nil, nil
	}
	r, err := adaptation.New("test", "v1", sync, update, adaptation.WithSocketPath(socket),
		adaptation.WithPluginPath(filepath.Join(dir, "plugins")), adaptation.WithPluginConfigPath(filepath.Join(dir, "conf")))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return r, socket
}

func sandbox(name string, ips ...string) *adaptation.PodSandbox {
	return &adaptation.PodSandbox{Id: name, Uid: name, Namespace: "shop", Name: name, Ips: ips, Labels: map[string]string{"app": name}}
}

func TestTheRuntimeTellsOfPodsAndWaits(t *testing.T) {
	before := sandbox("before", "10.0.0.1")
	r, socket := runtime(t, before)
	started, stopped, connected := make(chan nri.Pod), make(chan nri.Pod, 10), make(chan string, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- nri.Run(ctx, nri.Options{
			Socket:    socket,
			Started:   func(_ context.Context, p nri.Pod) { started <- p },
			Stopped:   func(p nri.Pod) { stopped <- p },
			Connected: func(name, version string) { connected <- name + " " + version },
		})
	}()
	if got := <-connected; got != "test v1" {
		t.Errorf("connected to %q", got)
	}
	if got := <-started; got.Name != "before" {
		t.Errorf("first told of %+v, want the pod that runs", got)
	}
	// The runtime counts a plugin in a moment after that.
	told := make(chan nri.Pod, 1)
	until(t, func() bool {
		done := runs(t, r, sandbox("first"))
		select {
		case p := <-started:
			told <- p
			return <-done == nil
		case <-done:
			return false
		}
	})
	if got := <-told; got.Name != "first" || len(got.Addrs) != 0 {
		t.Errorf("told of %+v", got)
	}
	for range 10 {
		done := runs(t, r, sandbox("web", "10.0.0.7", "fd00::7"))
		select {
		case err := <-done:
			t.Fatalf("the runtime went on before the plugin was done (%v)", err)
		case got := <-started:
			if got.Namespace != "shop" || got.Name != "web" || len(got.Addrs) != 2 {
				t.Errorf("told of %+v, want shop/web at two addresses", got)
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := r.StopPodSandbox(t.Context(), &adaptation.StopPodSandboxRequest{Pod: sandbox("web")}); err != nil {
		t.Fatal(err)
	}
	if err := r.RemovePodSandbox(t.Context(), &adaptation.RemovePodSandboxRequest{Pod: sandbox("web")}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := <-stopped; got.Name != "web" {
			t.Errorf("told of the end of %+v", got)
		}
	}
	cancel()
	if err := <-ended; err != context.Canceled {
		t.Errorf("ended with %v", err)
	}
}

// runs has the runtime run a pod.
func runs(t *testing.T, r *adaptation.Adaptation, pod *adaptation.PodSandbox) <-chan error {
	done := make(chan error, 1)
	go func() { done <- r.RunPodSandbox(t.Context(), &adaptation.RunPodSandboxRequest{Pod: pod}) }()
	return done
}

// source tells of a pod that has no address yet, and of a policy.
type source struct{ told chan agent.Batch }

func (s source) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (s source) Next(ctx context.Context) (agent.Batch, error) {
	select {
	case b := <-s.told:
		return b, nil
	case <-ctx.Done():
		return agent.Batch{}, ctx.Err()
	}
}
func (s source) PodAt(netip.Addr) (cluster.Name, bool) { return cluster.Name{}, false }
func (s source) Status() agent.SourceStatus            { return agent.SourceStatus{Name: "test", Synced: true} }

// From the runtime's word to the tables: when the runtime may start a pod's first
// process, the pod's policies are in force.
func TestAPodIsEnforcedBeforeItsFirstProcess(t *testing.T) {
	r, socket := runtime(t)
	tables := fake.New(nil)
	s := source{make(chan agent.Batch, 1)}
	a := agent.New(agent.Options{
		Node: "n1", Source: s, Dataplane: tables, Log: slog.New(slog.DiscardHandler),
		Runtime: agent.Runtime{Socket: socket, Required: true, Again: 10 * time.Millisecond},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	name := cluster.Name{Namespace: "shop", Name: "web"}
	deny := &policy.Policy{
		Ref:     policy.Ref{Dialect: policy.Kubernetes, Kind: "NetworkPolicy", Namespace: "shop", Name: "deny"},
		Tier:    policy.NetworkPolicyTier.Name,
		Subject: policy.PodSelector{Namespace: "shop"}, Ingress: &policy.Rules{Isolates: true},
	}
	s.told <- agent.Batch{
		Pods:     map[cluster.Name]*cluster.Pod{name: {Name: name, Node: "n1"}},
		Policies: map[policy.Ref]*policy.Policy{deny.Ref: deny},
	}
	until(t, func() bool {
		status, err := a.Status(t.Context())
		return err == nil && a.Ready() && status.Runtime == "test v1"
	})
	if err := r.RunPodSandbox(t.Context(), &adaptation.RunPodSandboxRequest{Pod: sandbox("web", "10.0.0.7", "fd00::7")}); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"10.0.0.7", "fd00::7"} {
		if tables.Plan().Local[netip.MustParseAddr(addr)].Ingress == 0 {
			t.Errorf("%s is not isolated when the runtime may go on", addr)
		}
	}
	status, err := a.Status(t.Context())
	if err != nil || len(status.Pods) != 1 || !slices.Contains(status.Pods[0].Addresses, netip.MustParseAddr("10.0.0.7")) {
		t.Errorf("status %+v (%v), want the pod with its address", status.Pods, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func until(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}
