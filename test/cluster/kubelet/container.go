package kubelet

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster/image"
)

type kind int

const (
	initial kind = iota // runs to its end before those behind it start
	sidecar             // a restartable init container
	regular
)

// A container that keeps ending is started again after a pause that doubles.
const (
	firstPause = time.Second
	longPause  = 30 * time.Second
)

// A container is one container of a pod over all its runs. The pod's worker
// owns it.
type container struct {
	spec *corev1.Container
	kind kind

	current  *instance // nil: not running
	begun    bool      // has been started up at least once
	started  bool      // the current run has started up
	ready    bool      // the current run passes its readiness probe
	asked    bool      // the current run has been asked to end
	restarts int32

	waiting *corev1.ContainerStateWaiting    // why it has not run yet
	last    *corev1.ContainerStateTerminated // how the last run ended
	before  *corev1.ContainerStateTerminated // how the run before the current or last one ended
	pause   time.Duration
	retryAt time.Time
}

func containersOf(pod *corev1.Pod) []*container {
	var all []*container
	for i := range pod.Spec.InitContainers {
		c := &container{spec: &pod.Spec.InitContainers[i], kind: initial, pause: firstPause}
		if deref(c.spec.RestartPolicy, "") == corev1.ContainerRestartPolicyAlways {
			c.kind = sidecar
		}
		c.waiting = &corev1.ContainerStateWaiting{Reason: "PodInitializing"}
		all = append(all, c)
	}
	reason := "ContainerCreating"
	if len(all) > 0 {
		reason = "PodInitializing"
	}
	for i := range pod.Spec.Containers {
		all = append(all, &container{spec: &pod.Spec.Containers[i], kind: regular, pause: firstPause,
			waiting: &corev1.ContainerStateWaiting{Reason: reason}})
	}
	return all
}

// through says that the container has run for the last time.
func (c *container) through(policy corev1.RestartPolicy) bool {
	if c.current != nil || c.last == nil || c.kind == sidecar {
		return false
	}
	switch {
	case c.kind == initial && c.last.ExitCode == 0:
		return true
	case policy == corev1.RestartPolicyNever:
		return true
	case policy == corev1.RestartPolicyOnFailure:
		return c.last.ExitCode == 0
	}
	return false
}

// failed says that the container is through and did not do its work.
func (c *container) failed(policy corev1.RestartPolicy) bool {
	return c.through(policy) && c.last.ExitCode != 0
}

// ensure has a container run if it should, and says whether those behind it may.
func (w *worker) ensure(c *container) (proceed bool) {
	policy := w.pod.Spec.RestartPolicy
	if c.current == nil && !c.through(policy) {
		if wait := time.Until(c.retryAt); wait > 0 {
			w.wakeAt(c.retryAt)
		} else {
			w.start(c)
		}
	}
	switch c.kind {
	case initial:
		return c.through(policy) && !c.failed(policy)
	case sidecar:
		return c.begun
	}
	return true
}

// start starts a container, or notes why it cannot be.
func (w *worker) start(c *container) {
	if c.last != nil {
		c.restarts++
		c.before, c.last = c.last, nil
	}
	run, err := w.k.startInstance(w.pod, w.box, c.spec, c.restarts)
	if err != nil {
		w.refuse(c, err)
		return
	}
	c.current, c.waiting, c.asked = run, nil, false
	w.mu.Lock()
	w.running[c.spec.Name] = run
	w.logs[c.spec.Name] = append(w.logs[c.spec.Name], w.k.logPath(w.pod, c.spec.Name, c.restarts))
	w.mu.Unlock()
	go func() {
		ended := run.wait()
		w.post(func() { w.ended(c, run, ended) })
	}()
	w.watchHealth(c, run)
}

// refuse notes why a container cannot be started; it is tried again later.
func (w *worker) refuse(c *container, err error) {
	reason := "RunContainerError"
	if errors.Is(err, image.ErrUnknown) {
		reason = "ErrImageNeverPull"
	}
	w.log.Warn("start container", "container", c.spec.Name, "error", err)
	w.k.warn(w.pod, reason, err)
	c.waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: err.Error()}
	w.delay(c)
}

func (w *worker) delay(c *container) {
	c.retryAt = time.Now().Add(c.pause)
	c.pause = min(2*c.pause, longPause)
	w.wakeAt(c.retryAt)
}

// ended notes how a run of a container ended.
func (w *worker) ended(c *container, run *instance, how corev1.ContainerStateTerminated) {
	w.mu.Lock()
	delete(w.running, c.spec.Name)
	w.mu.Unlock()
	run.close()
	c.current, c.started, c.ready = nil, false, false
	c.last = &how
	w.log.Info("container ended", "container", c.spec.Name, "exit", how.ExitCode, "reason", how.Reason)
	if how.FinishedAt.Sub(how.StartedAt.Time) > 2*longPause {
		c.pause = firstPause
	}
	if w.pod.DeletionTimestamp == nil && !c.through(w.pod.Spec.RestartPolicy) {
		w.delay(c)
	}
}

// kill ends the current run, if there is one, without asking.
func (c *container) kill() {
	if c.current != nil {
		c.current.signal(syscall.SIGKILL)
	}
}

// askToEnd runs the container's preStop hook and then asks its process to end,
// once, without waiting for either.
func (c *container) askToEnd(ctx context.Context, w *worker) {
	if c.asked {
		return
	}
	c.asked = true
	check := &checker{k: w.k, run: c.current, spec: c.spec, address: w.box.addresses[0].String()}
	pod, until := w.pod, w.killAt
	go func() {
		ctx, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		if hooks := check.spec.Lifecycle; hooks != nil && hooks.PreStop != nil {
			if err := check.hook(ctx, hooks.PreStop); err != nil {
				w.k.warn(pod, "FailedPreStopHook", err)
			}
		}
		check.run.signal(syscall.SIGTERM)
	}()
}

// phaseOf is the phase of a pod that is not being deleted.
func phaseOf(containers []*container, policy corev1.RestartPolicy) corev1.PodPhase {
	running, through, failed := false, true, false
	for _, c := range containers {
		if c.kind == initial {
			if c.failed(policy) {
				return corev1.PodFailed
			}
			continue
		}
		if c.kind == sidecar {
			continue
		}
		running = running || c.current != nil || c.last != nil
		through = through && c.through(policy)
		failed = failed || c.failed(policy)
	}
	switch {
	case through && failed:
		return corev1.PodFailed
	case through:
		return corev1.PodSucceeded
	case running:
		return corev1.PodRunning
	}
	return corev1.PodPending
}

// terminated describes the end of a process.
func terminated(state syscall.WaitStatus, began time.Time, id string) corev1.ContainerStateTerminated {
	t := corev1.ContainerStateTerminated{ExitCode: int32(state.ExitStatus()), Reason: "Completed",
		StartedAt: metav1.NewTime(began), FinishedAt: metav1.Now(), ContainerID: id}
	if state.Signaled() {
		t.Signal = int32(state.Signal())
		t.ExitCode = 128 + t.Signal
	}
	if t.ExitCode != 0 {
		t.Reason = "Error"
	}
	if state.Signaled() {
		t.Message = fmt.Sprintf("ended by signal %d", t.Signal)
	}
	return t
}
