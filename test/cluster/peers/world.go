package peers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

const (
	benchSpace  = "bench"
	otherSpace  = "others"
	targetNode  = "node-1"
	clientNode  = "node-2"
	servicePort = 8080
	// patience is how long anything awaited may take on a slow machine.
	patience = 3 * time.Minute
)

// A world is a cluster with an engine, and the pods that measurements need: a
// target on one node, and on the other a client, a stranger, and the canary that
// shows when many policies have all arrived.
type world struct {
	engine  Engine
	c       *cluster.Cluster
	client  kubernetes.Interface
	address netip.Addr // of the target
	pods    map[string]ns.View
	servers []*server
	result  *Result
}

func newWorld(ctx context.Context, config *Config, engine Engine) (w *world, err error) {
	w = &world{engine: engine, pods: map[string]ns.View{}, result: &Result{Engine: engine}}
	w.c, err = cluster.Start(ctx, cluster.Config{Progress: config.Progress, LogDir: w.logDir(config), Config: control.Config{
		ProxyMode: "iptables", Engine: engine.Command, EngineReady: engine.Ready}})
	if err != nil {
		return nil, err
	}
	if err := w.populate(ctx, config); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	return w, nil
}

func (w *world) logDir(config *Config) string {
	if config.LogDir == "" {
		return ""
	}
	return filepath.Join(config.LogDir, w.engine.Name)
}

func (w *world) stop() error {
	for _, s := range w.servers {
		s.close()
	}
	for _, view := range w.pods {
		view.Close()
	}
	return w.c.Stop()
}

func (w *world) populate(ctx context.Context, config *Config) error {
	rest, err := clientcmd.BuildConfigFromFlags("", w.c.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	rest.QPS = -1
	if w.client, err = kubernetes.NewForConfig(rest); err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	for _, name := range []string{benchSpace, otherSpace} {
		if err := w.namespace(ctx, name); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := w.addOthers(ctx, config); err != nil {
		return err
	}
	w.result.PodsTook = time.Since(began)
	return w.addBench(ctx)
}

func (w *world) namespace(ctx context.Context, name string) error {
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := w.client.CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make namespace: %w", err)
	}
	return await(ctx, "default service account of "+name, func() (bool, error) {
		_, err := w.client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, err
	})
}

// addOthers starts pods on both nodes, with a policy for every one of the first
// few.
func (w *world) addOthers(ctx context.Context, config *Config) error {
	for i := range config.Policies {
		if err := w.policy(ctx, otherSpace, fmt.Sprintf("policy-%d", i), selects(other(i)), allows(otherSpace, other(i+1), 80)); err != nil {
			return err
		}
	}
	for i := range config.Pods {
		node := targetNode
		if i%2 == 1 {
			node = clientNode
		}
		if err := w.createPod(ctx, otherSpace, other(i), node); err != nil {
			return err
		}
	}
	return await(ctx, "other pods", func() (bool, error) {
		pods, err := w.client.CoreV1().Pods(otherSpace).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return false, err
		}
		running := 0
		for _, pod := range pods.Items {
			if pod.Status.Phase == corev1.PodRunning {
				running++
			}
		}
		return running == config.Pods, fmt.Errorf("%d of %d run", running, config.Pods)
	})
}

func other(i int) string { return fmt.Sprintf("other-%d", i) }

// addBench starts the pods that take part.
func (w *world) addBench(ctx context.Context) error {
	for name, node := range map[string]string{"target": targetNode, "client": clientNode, "stranger": clientNode, "canary": clientNode} {
		if err := w.createPod(ctx, benchSpace, name, node); err != nil {
			return err
		}
	}
	for _, name := range []string{"target", "client", "stranger", "canary"} {
		if _, err := w.awaitAddress(ctx, name); err != nil {
			return err
		}
		view, err := w.enter(ctx, name)
		if err != nil {
			return err
		}
		w.pods[name] = view
	}
	address, err := w.awaitAddress(ctx, "target")
	if err != nil {
		return err
	}
	w.address = address
	return w.listen(servicePort)
}

// listen has the target serve on a port.
func (w *world) listen(port uint16) error {
	s, err := serve(w.pods["target"], w.address, port)
	if err != nil {
		return err
	}
	w.servers = append(w.servers, s)
	return nil
}

func (w *world) createPod(ctx context.Context, namespace, name, node string) error {
	now := int64(0)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{NodeName: node, TerminationGracePeriodSeconds: &now,
			Containers: []corev1.Container{{Name: "sleep", Image: "debian", Command: []string{"sleep", "infinity"}}}}}
	if _, err := w.client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make pod %s: %w", name, err)
	}
	return nil
}

func (w *world) deletePod(ctx context.Context, name string) error {
	if err := w.client.CoreV1().Pods(benchSpace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("delete pod %s: %w", name, err)
	}
	return nil
}

// awaitAddress waits until the API says a pod's address.
func (w *world) awaitAddress(ctx context.Context, name string) (address netip.Addr, err error) {
	err = await(ctx, "address of "+name, func() (bool, error) {
		pod, err := w.client.CoreV1().Pods(benchSpace).Get(ctx, name, metav1.GetOptions{})
		if err != nil || pod.Status.PodIP == "" {
			return false, err
		}
		address, err = netip.ParseAddr(pod.Status.PodIP)
		return err == nil, err
	})
	return address, err
}

// enter opens the network namespace of a running pod.
func (w *world) enter(ctx context.Context, name string) (ns.View, error) {
	place, err := w.c.Pod(ctx, benchSpace, name)
	if err != nil {
		return ns.View{}, err
	}
	space, err := ns.Open(place.NetNS, unix.CLONE_NEWNET)
	if err != nil {
		return ns.View{}, fmt.Errorf("enter pod %s: %w", name, err)
	}
	return ns.View{Net: space}, nil
}

// await looks at something until it holds.
func await(ctx context.Context, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		ok, err := holds()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w", what, ctx.Err(), orNothing(err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func orNothing(err error) error {
	if err == nil {
		return os.ErrDeadlineExceeded
	}
	return err
}
