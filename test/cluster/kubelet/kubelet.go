// Package kubelet stands in for the kubelet of a test cluster's node: pods are
// processes in namespaces on this machine, from images that are local folders.
//
// To the API server it is a kubelet: it registers its node, renews its lease,
// runs the pods bound to it with their init containers, probes, hooks and
// volumes, reports their status, and serves exec, attach, logs and port
// forwarding to the API server's client certificate alone. It has no cgroups,
// no image pulls, no devices, no persistent volumes, no host ports and no
// eviction; what a pod asks of those is refused with an event that says so, or
// has no effect where it is only a limit.
//
// One Kubelet runs one node; several live in one process. A pod belongs to one
// goroutine, its worker; everything else reaches it through channels.
package kubelet

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/bulkhead-dev/bulkhead/test/cluster/fabric"
	"github.com/bulkhead-dev/bulkhead/test/cluster/image"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// Port is where a kubelet listens on its node.
const Port = 10250

// Config is what a Kubelet is given; every field is needed.
type Config struct {
	Node   *fabric.Node
	View   ns.View // the node's network, mount and UTS namespaces
	Client kubernetes.Interface
	Images image.Store
	Init   string // path of the container-init program
	// HostLinks is a folder with the symbolic links of image.HostMounts.
	HostLinks string
	// Dir is this node's folder for pods, on a file system that lives in memory
	// and is mounted in the node's view too. Logs outlive pods in LogDir.
	Dir, LogDir string
	Cluster     Cluster
	Serving     *tls.Config // certificate of the node, and who may connect
	Version     string      // of Kubernetes
	Log         *slog.Logger
}

// Cluster is what pods are told about the cluster.
type Cluster struct {
	Domain string       // of service names
	DNS    []netip.Addr // of the name service
	API    netip.Addr   // of the service kubernetes
}

// A Kubelet runs the pods of one node.
type Kubelet struct {
	Config
	events record.EventRecorder

	mu      sync.Mutex
	workers map[types.UID]*worker
	ended   sync.WaitGroup
}

// New makes a kubelet that does nothing until Run.
func New(config Config) *Kubelet {
	return &Kubelet{Config: config, workers: map[types.UID]*worker{}}
}

// Run registers the node and runs its pods until ctx ends; then every process of
// every pod is killed, without telling the API server. It returns early only if
// the node cannot be registered or served.
func (k *Kubelet) Run(ctx context.Context) error {
	stopEvents := k.recordEvents()
	defer stopEvents()
	listener, err := k.listen()
	if err != nil {
		return fmt.Errorf("serve kubelet of %s: %w", k.Node.Name, err)
	}
	defer listener.Close()
	go k.serve(listener)
	if err := k.register(ctx); err != nil {
		return fmt.Errorf("register %s: %w", k.Node.Name, err)
	}
	go k.renewLease(ctx)
	k.watch(ctx)
	k.ended.Wait()
	return nil
}

func (k *Kubelet) recordEvents() (stop func()) {
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: k.Client.CoreV1().Events("")})
	k.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: k.Node.Name})
	return broadcaster.Shutdown
}

func (k *Kubelet) listen() (net.Listener, error) {
	var listener net.Listener
	err := k.View.Do(func() (err error) {
		listener, err = net.Listen("tcp", fmt.Sprintf(":%d", Port))
		return err
	})
	if err != nil {
		return nil, err
	}
	return tls.NewListener(listener, k.Serving), nil
}

// watch follows the pods bound to the node and returns when ctx ends.
func (k *Kubelet) watch(ctx context.Context) {
	here := fields.OneTermEqualSelector("spec.nodeName", k.Node.Name)
	pods := cache.NewListWatchFromClient(k.Client.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, here)
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: pods, ObjectType: &corev1.Pod{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { k.update(ctx, o.(*corev1.Pod)) },
			UpdateFunc: func(_, o any) { k.update(ctx, o.(*corev1.Pod)) },
			DeleteFunc: k.forget,
		},
	})
	informer.RunWithContext(ctx)
}

// update hands a pod to its worker, which is made for a pod not seen before.
func (k *Kubelet) update(ctx context.Context, pod *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.workers[pod.UID]; w != nil {
		w.updates.put(pod)
		return
	}
	if ended(pod.Status.Phase) && pod.DeletionTimestamp == nil {
		return // ran its course before this kubelet started
	}
	w := newWorker(k, pod)
	k.workers[pod.UID] = w
	k.ended.Go(func() {
		w.run(ctx)
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.workers, pod.UID)
	})
}

// forget ends a pod that is gone from the API server.
func (k *Kubelet) forget(o any) {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.workers[pod.UID]; w != nil {
		w.vanish()
	}
}

// find looks up a pod's worker by name; nil if there is none. Of two pods with
// one name it is the one that is not on its way out.
func (k *Kubelet) find(namespace, name string) *worker {
	k.mu.Lock()
	defer k.mu.Unlock()
	var found *worker
	for _, w := range k.workers {
		if w.namespace != namespace || w.name != name {
			continue
		}
		if found == nil || !w.leaving() {
			found = w
		}
	}
	return found
}

// PodView returns the network namespace of a running pod, for as long as the
// pod runs.
func (k *Kubelet) PodView(namespace, name string) (ns.View, bool) {
	w := k.find(namespace, name)
	if w == nil {
		return ns.View{}, false
	}
	view := w.network()
	return view, view.Net != nil
}

func (k *Kubelet) warn(pod runtime.Object, reason string, err error) {
	k.events.Event(pod, corev1.EventTypeWarning, reason, err.Error())
}

func ended(phase corev1.PodPhase) bool {
	return phase == corev1.PodSucceeded || phase == corev1.PodFailed
}
