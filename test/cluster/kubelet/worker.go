package kubelet

import (
	"context"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// retryPeriod is how long a pod waits whose sandbox or volumes cannot be made.
const retryPeriod = time.Second

// A worker runs one pod. Its goroutine owns all of it but what mu guards; other
// goroutines post functions for it to run.
type worker struct {
	k               *Kubelet
	namespace, name string
	uid             types.UID
	log             *slog.Logger

	updates  mailbox[*corev1.Pod]
	posts    chan func()
	vanished chan struct{} // closed: the pod is gone from the API server
	once     sync.Once
	done     chan struct{} // closed: nobody takes posts any more
	reports  *reporter

	pod        *corev1.Pod
	box        *sandbox
	containers []*container // in order of start
	started    metav1.Time
	phase      corev1.PodPhase
	told       []corev1.PodIP // addresses, as last reported
	conditions []corev1.PodCondition
	killAt     time.Time // when what still runs is killed; zero: not yet decided
	wakeTime   time.Time // when to step again at the latest; zero: when something happens
	finished   bool

	mu      sync.Mutex
	leaves  bool
	view    ns.View              // network of the pod; nil Net: none
	running map[string]*instance // by container name
	logs    map[string][]string  // of every run, by container name
}

func newWorker(k *Kubelet, pod *corev1.Pod) *worker {
	w := &worker{
		k: k, namespace: pod.Namespace, name: pod.Name, uid: pod.UID, pod: pod,
		log:     k.Log.With("node", k.Node.Name, "pod", pod.Namespace+"/"+pod.Name),
		updates: newMailbox[*corev1.Pod](), posts: make(chan func()), vanished: make(chan struct{}), done: make(chan struct{}),
		reports: newReporter(k, pod), started: metav1.Now(), phase: corev1.PodPending,
		containers: containersOf(pod), running: map[string]*instance{}, logs: map[string][]string{},
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaves = pod.DeletionTimestamp != nil
	return w
}

// vanish tells the worker that its pod is gone. Any goroutine may call it.
func (w *worker) vanish() { w.once.Do(func() { close(w.vanished) }) }

// post has the worker's goroutine run f, unless the worker has ended.
func (w *worker) post(f func()) {
	select {
	case w.posts <- f:
	case <-w.done:
	}
}

func (w *worker) leaving() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leaves
}

func (w *worker) network() ns.View {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view
}

// instance finds a running container; "" is the first that runs by default.
func (w *worker) instance(container string) *instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	if container == "" {
		container = w.containers[len(w.containers)-len(w.pod.Spec.Containers)].spec.Name
	}
	return w.running[container]
}

// run runs the pod to its end, or until ctx ends and everything is killed.
func (w *worker) run(ctx context.Context) {
	defer close(w.done)
	go w.reports.run(ctx)
	wake := time.NewTimer(0)
	defer wake.Stop()
	for {
		w.step(ctx)
		if w.finished {
			return
		}
		wake.Stop()
		if !w.wakeTime.IsZero() {
			wake.Reset(time.Until(w.wakeTime))
		}
		select {
		case pod := <-w.updates:
			w.accept(pod)
		case f := <-w.posts:
			f()
		case <-wake.C:
		case <-w.vanished:
			w.abandon()
			return
		case <-ctx.Done():
			w.abandon()
			return
		}
	}
}

func (w *worker) accept(pod *corev1.Pod) {
	w.pod = pod
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaves = pod.DeletionTimestamp != nil
}

// step does whatever can be done now, and reports how the pod is.
func (w *worker) step(ctx context.Context) {
	w.wakeTime = time.Time{}
	if w.pod.DeletionTimestamp != nil {
		w.terminate(ctx)
	} else {
		w.advance(ctx)
	}
	if !w.finished {
		w.reports.put(w.status())
	}
}

// wakeAt has step run again no later than at a time.
func (w *worker) wakeAt(t time.Time) {
	if w.wakeTime.IsZero() || t.Before(w.wakeTime) {
		w.wakeTime = t
	}
}

// advance starts what is due to start.
func (w *worker) advance(ctx context.Context) {
	if ended(w.phase) {
		w.retire()
		return
	}
	if w.box == nil {
		if err := w.prepare(ctx); err != nil {
			w.log.Warn("prepare pod", "error", err)
			w.k.warn(w.pod, "FailedCreatePodSandBox", err)
			w.wakeAt(time.Now().Add(retryPeriod))
			return
		}
		// The address is told before anything runs, and nothing waits for that.
		w.reports.put(w.status())
	}
	for _, c := range w.containers {
		if proceed := w.ensure(c); !proceed {
			break
		}
	}
	w.phase = phaseOf(w.containers, w.pod.Spec.RestartPolicy)
	if ended(w.phase) {
		w.retire()
	}
}

// prepare makes the sandbox with its volumes, all or nothing.
func (w *worker) prepare(ctx context.Context) error {
	box, err := w.k.newSandbox(w.pod)
	if err != nil {
		return err
	}
	if err := w.k.mountVolumes(ctx, w.pod, box); err != nil {
		box.release(w.k)
		return err
	}
	w.box = box
	w.mu.Lock()
	defer w.mu.Unlock()
	w.view = box.view
	return nil
}

// retire releases a pod whose containers are through, sidecars last.
func (w *worker) retire() {
	for _, c := range w.containers {
		if c.current != nil {
			c.kill()
		}
	}
	if !w.anyRunning() {
		w.releaseBox()
	}
}

// terminate stops a pod that is to be deleted, and deletes it once nothing of
// it runs.
func (w *worker) terminate(ctx context.Context) {
	w.stop(ctx)
	if w.anyRunning() {
		return
	}
	w.releaseBox()
	w.reports.finish(ctx, w.status())
	w.finished = true
}

// stop asks the containers to end, sidecars after the others, and kills what
// still runs when the grace period is over.
func (w *worker) stop(ctx context.Context) {
	grace := time.Duration(deref(w.pod.DeletionGracePeriodSeconds, 0)) * time.Second
	// A later deletion may shorten the wait, never lengthen it.
	if at := time.Now().Add(grace); w.killAt.IsZero() || at.Before(w.killAt) {
		w.killAt = at
	}
	if !time.Now().Before(w.killAt) {
		for _, c := range w.containers {
			c.kill()
		}
		return
	}
	w.wakeAt(w.killAt)
	waiting := false
	for i := len(w.containers) - 1; i >= 0; i-- {
		c := w.containers[i]
		if c.current == nil || c.kind == sidecar && waiting {
			continue
		}
		c.askToEnd(ctx, w)
		waiting = true
	}
}

func (w *worker) anyRunning() bool {
	for _, c := range w.containers {
		if c.current != nil {
			return true
		}
	}
	return false
}

func (w *worker) releaseBox() {
	if w.box == nil {
		return
	}
	w.mu.Lock()
	w.view = ns.View{}
	w.mu.Unlock()
	w.box.release(w.k)
	w.box = nil
}

// abandon kills everything of a pod and tells nobody.
func (w *worker) abandon() {
	for _, c := range w.containers {
		c.kill()
	}
	for w.anyRunning() {
		(<-w.posts)()
	}
	w.releaseBox()
	w.reports.close()
}

func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
