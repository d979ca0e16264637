package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/cluster/binaries"
	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
)

func TestNothingHasDied(t *testing.T) {
	status, err := shared.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"etcd": true, "kube-apiserver": true, "kube-controller-manager": true, "kube-scheduler": true,
		"kube-proxy/node-1": true, "kube-proxy/node-2": true, "engine/node-1": true, "engine/node-2": true}
	for _, p := range status.Processes {
		if !p.Running || p.Deaths != 0 || p.Starts != 1 {
			t.Errorf("%+v", p)
		}
		delete(want, p.Name)
	}
	if len(want) > 0 {
		t.Errorf("%v are missing", want)
	}
}

func TestEngineRunsOnItsNode(t *testing.T) {
	node := shared.Node(2)
	status, err := node.Engine().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(status.Log)
	if want := fmt.Sprintf("engine of node-2 at %s with %s\n", node.Addresses[0], node.Kubeconfig); err != nil || string(log) != want {
		t.Errorf("it wrote %q, %v, not %q", log, err, want)
	}
	pid, err := node.Engine().PID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Both paths lead to one namespace.
	engine, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		t.Fatal(err)
	}
	network, err := os.Stat(node.NetNS)
	if err != nil || !os.SameFile(engine, network) {
		t.Errorf("the engine's network is not the node's: %v", err)
	}
}

func TestCommandsRunInTheirPlace(t *testing.T) {
	f := newFixture(t, shared)
	f.create(server("web"))
	address := f.ready("web").Status.PodIP
	pod, err := shared.Pod(t.Context(), f.namespace, "web")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		place cluster.Place
		argv  []string
		want  string
	}{
		{"node", shared.Node(1).Place, []string{"hostname"}, "node-1"},
		{"node's own /run", shared.Node(1).Place, []string{"sh", "-c", "echo mine > /run/note; cat /run/note"}, "mine"},
		{"other node's /run", shared.Node(2).Place, []string{"sh", "-c", "cat /run/note 2>/dev/null || echo nothing"}, "nothing"},
		{"pod", pod, []string{"curl", "-s", "http://127.0.0.1/hostname"}, "web"},
		{"outside", shared.Outside(), []string{"curl", "-s", "http://" + address + "/hostname"}, "web"},
	} {
		out, err := c.place.Command(t.Context(), c.argv...).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, not %q", c.name, got, err, c.want)
		}
	}
	if err := shared.Node(1).Command(t.Context(), "sh", "-c", "exit 5").Run(); err == nil || !strings.Contains(err.Error(), "5") {
		t.Errorf("exit 5 is %v", err)
	}
	if _, err := shared.Pod(t.Context(), f.namespace, "nobody"); err == nil {
		t.Error("a pod that does not run has a place")
	}
}

func TestKubeletServesTheAPIServerAlone(t *testing.T) {
	kubelet := "https://" + net.JoinHostPort(shared.Node(1).Addresses[0], "10250") + "/pods"
	for _, c := range []struct {
		who  string
		argv []string
		want string
	}{
		{"a stranger", nil, "401"},
		{"the administrator", certificateOf(t, shared.Kubeconfig), "403"},
	} {
		argv := append([]string{"curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}"}, c.argv...)
		out, err := shared.Outside().Command(t.Context(), append(argv, kubelet)...).Output()
		if err != nil || string(out) != c.want {
			t.Errorf("%s gets %s, %v, not %s", c.who, out, err, c.want)
		}
	}
	// The same through the API server is answered.
	f := newFixture(t, shared)
	raw, err := f.client.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/node-1/proxy/pods").DoRaw(t.Context())
	var pods []string
	if err := errors.Join(err, json.Unmarshal(raw, &pods)); err != nil || len(pods) == 0 {
		t.Errorf("the API server gets %s, %v", raw, err)
	}
}

// certificateOf makes curl's arguments from a kubeconfig.
func certificateOf(t *testing.T, kubeconfig string) []string {
	t.Helper()
	f := newFixture(t, shared)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	if err := errors.Join(os.WriteFile(cert, f.config.CertData, 0o600), os.WriteFile(key, f.config.KeyData, 0o600)); err != nil {
		t.Fatal(err)
	}
	return []string{"--cert", cert, "--key", key}
}

// TestSteering needs a cluster of its own: it takes it apart.
func TestSteering(t *testing.T) {
	c := start(t, control.Config{Nodes: 1, NoDNS: true, ReuseAddresses: true, Engine: []string{"sleep", "100000"}})
	f := newFixture(t, c)
	ctx := t.Context()

	t.Run("engine", func(t *testing.T) {
		engine := c.Node(1).Engine()
		before, err := engine.PID(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := engine.Kill(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", before)); !os.IsNotExist(err) {
			t.Errorf("the killed engine is still there: %v", err)
		}
		if err := engine.Start(ctx, "sh", "-c", "exec sleep 200000", "{node}"); err != nil {
			t.Fatal(err)
		}
		status, err := engine.Status(ctx)
		if err != nil || !status.Running || status.Starts != 2 || status.Deaths != 0 || status.Command[len(status.Command)-1] != "node-1" {
			t.Errorf("the new engine is %+v, %v", status, err)
		}
	})

	t.Run("history", func(t *testing.T) {
		old := f.create(podOf("old", shell("main", "exec sleep 1000"))).ResourceVersion
		f.ready("old")
		if err := c.CompactHistory(ctx); err != nil {
			t.Fatal(err)
		}
		// The API server keeps recent history itself until it starts anew.
		api := c.Process("kube-apiserver")
		if err := errors.Join(api.Kill(ctx), api.Start(ctx)); err != nil {
			t.Fatal(err)
		}
		f.await("a watch of forgotten history to fail", func() (bool, error) {
			w, err := f.client.CoreV1().Pods(f.namespace).Watch(ctx, metav1.ListOptions{ResourceVersion: old})
			if err != nil {
				return apierrors.IsResourceExpired(err) || apierrors.IsGone(err), err
			}
			defer w.Stop()
			event := <-w.ResultChan()
			err = apierrors.FromObject(event.Object)
			return event.Type == watch.Error && (apierrors.IsResourceExpired(err) || apierrors.IsGone(err)), err
		})
	})

	t.Run("API server", func(t *testing.T) {
		api := c.Process("kube-apiserver")
		if err := api.Kill(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := f.client.CoreV1().Pods(f.namespace).Get(ctx, "old", metav1.GetOptions{}); err == nil {
			t.Error("the API server answers after it was killed")
		}
		pod, err := c.Pod(ctx, f.namespace, "old")
		if err != nil {
			t.Errorf("the pod died with the API server: %v", err)
		} else if out, err := pod.Command(ctx, "ip", "-o", "addr", "show", "eth0").CombinedOutput(); err != nil {
			t.Errorf("the pod's network died with the API server: %s", out)
		}
		if err := api.Start(ctx); err != nil {
			t.Fatal(err)
		}
		f.await("the API server to answer", func() (bool, error) {
			_, err := f.client.CoreV1().Pods(f.namespace).Get(ctx, "old", metav1.GetOptions{})
			return err == nil, err
		})
	})

	t.Run("address is reused", func(t *testing.T) {
		address := f.ready("old").Status.PodIP
		now := int64(0)
		if err := f.client.CoreV1().Pods(f.namespace).Delete(ctx, "old", metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
			t.Fatal(err)
		}
		f.await("the place to be free", func() (bool, error) {
			_, err := c.Pod(ctx, f.namespace, "old")
			return err != nil, nil
		})
		f.create(podOf("new", shell("main", "exec sleep 1000")))
		if got := f.ready("new").Status.PodIP; got != address {
			t.Errorf("the new pod is at %s, not at %s", got, address)
		}
	})
}

func start(t *testing.T, config control.Config) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(t.Context(), cluster.Config{Config: config, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestBridgedPods(t *testing.T) {
	c := start(t, control.Config{Nodes: 2, PodNetwork: "bridge", ProxyMode: "iptables", Families: "ipv6,ipv4"})
	f := newFixture(t, c)
	f.create(on("node-1", server("a")))
	f.create(on("node-1", server("b")))
	f.create(on("node-2", server("far")))
	f.expose("b")
	f.ready("a")
	for _, name := range []string{"b", "far"} {
		pod := f.ready(name)
		if len(pod.Status.PodIPs) != 2 || !strings.Contains(pod.Status.PodIP, ":") {
			t.Errorf("%s has addresses %v, not IPv6 first", name, pod.Status.PodIPs)
		}
		for _, ip := range pod.Status.PodIPs {
			if got := f.run("a", "curl", "-s", "http://"+net.JoinHostPort(ip.IP, "80")+"/hostname"); got != name {
				t.Errorf("%s at %s answers %q", name, ip.IP, got)
			}
		}
	}
	for _, from := range []string{"a", "b", "far"} {
		if got := f.eventually(from, "curl", "-s", "--max-time", "5", "http://b/hostname"); got != "b" {
			t.Errorf("from %s the service answers %q", from, got)
		}
	}
}

func TestNamesAreTakenOnce(t *testing.T) {
	config := cluster.Config{Name: fmt.Sprint("once-", os.Getpid()), Detach: true, Config: control.Config{Nodes: 1, NoDNS: true, ProxyMode: "none"}}
	if _, err := cluster.Open(t.Context(), config.Name); !errors.Is(err, cluster.ErrNone) {
		t.Errorf("opened before it was started: %v", err)
	}
	c, err := cluster.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.Start(t.Context(), config); !errors.Is(err, cluster.ErrExists) {
		t.Errorf("started twice: %v", err)
	}
	// As another program would: it is no child of the one that ends it.
	other, err := cluster.Open(t.Context(), config.Name)
	if err != nil {
		t.Fatal(err)
	}
	inside := namespacesOf(t, other)
	if err := other.Stop(); err != nil {
		t.Fatal(err)
	}
	nothingIn(t, inside)
	if _, err := os.Stat(c.Dir); !os.IsNotExist(err) {
		t.Errorf("its folder is still there: %v", err)
	}
}

// TestNothingIsLeft kills the starter of a cluster, and then a cluster's own
// process, without a warning.
func TestNothingIsLeft(t *testing.T) {
	for _, victim := range []string{"starter", "cluster"} {
		t.Run(victim, func(t *testing.T) {
			cache, err := binaries.DefaultCache(os.Stderr)
			if err != nil {
				t.Fatal(err)
			}
			program, err := cache.Program(t.Context(), "cluster")
			if err != nil {
				t.Fatal(err)
			}
			starter := exec.CommandContext(t.Context(), program, "run", "--nodes=2", "--", "sh", "-c", "basename $CLUSTER; exec sleep 1000")
			out, err := starter.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			starter.Stderr = os.Stderr
			if err := starter.Start(); err != nil {
				t.Fatal(err)
			}
			name, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			c, err := cluster.Open(t.Context(), strings.TrimSpace(name))
			if err != nil {
				t.Fatal(err)
			}
			inside := namespacesOf(t, c)
			pid := starter.Process.Pid
			if victim == "cluster" {
				pid = inside.pid
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			nothingIn(t, inside)
			starter.Process.Kill()
			starter.Wait()
			os.RemoveAll(c.Dir)
			os.Remove(c.Dir + ".lock")
		})
	}
}

// namespaces tell the processes of a cluster from all others.
type namespaces struct {
	pid   int // of the cluster's process
	pidNS string
	dir   string
}

func namespacesOf(t *testing.T, c *cluster.Cluster) namespaces {
	t.Helper()
	pid, err := control.NewClient(c.Dir).PID(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err != nil {
		t.Fatal(err)
	}
	return namespaces{pid: pid, pidNS: ns, dir: c.Dir}
}

// nothingIn waits until no process of the cluster, nor any below it, is there,
// and finds no mount of it.
func nothingIn(t *testing.T, n namespaces) {
	t.Helper()
	f := &fixture{T: t}
	f.await("the cluster's processes to be gone", func() (bool, error) {
		dirs, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			return false, err
		}
		for _, dir := range dirs {
			cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
			own, _ := os.Readlink(filepath.Join(dir, "ns/pid"))
			if own == n.pidNS || strings.Contains(string(cmdline), n.dir) {
				return false, fmt.Errorf("%s is %q", dir, cmdline)
			}
		}
		return true, nil
	})
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), n.dir) {
		t.Errorf("mounts are left: %s, %v", mounts, err)
	}
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	for _, c := range []struct {
		config control.Config
		want   string
	}{
		{control.Config{Families: "ipx"}, "ipx"},
		{control.Config{PodNetwork: "pigeon"}, "pigeon"},
		{control.Config{Nodes: 1000}, "1000 nodes"},
		{control.Config{Engine: []string{"no-such-engine"}}, "no-such-engine"},
		{control.Config{Engine: []string{"false"}, NoDNS: true}, "engine/node-1 ended with exit status 1"},
	} {
		got, err := cluster.Start(t.Context(), cluster.Config{Config: c.config})
		if err == nil {
			got.Stop()
			t.Errorf("%+v starts", c.config)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, without %q", c.config, err, c.want)
		}
	}
}

func TestAFullNode(t *testing.T) {
	const count = 100
	f := newFixture(t, shared)
	for i := range count {
		f.create(on("node-1", podOf(fmt.Sprint("pod-", i), shell("main", "exec sleep 1000"))))
	}
	f.await("all pods to be ready", func() (bool, error) {
		pods, err := f.client.CoreV1().Pods(f.namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		ready, addresses := 0, map[string]bool{}
		for i := range pods.Items {
			if isReady(&pods.Items[i]) {
				ready++
				addresses[pods.Items[i].Status.PodIP] = true
			}
		}
		if ready == count && len(addresses) != count {
			t.Fatalf("%d pods share %d addresses", count, len(addresses))
		}
		return ready == count, fmt.Errorf("%d are", ready)
	})
}
