package kubelet

import (
	"context"
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// reportPause is how long a failed report waits for the API server to come back.
const reportPause = 200 * time.Millisecond

// A reporter tells the API server how a pod is, in order, leaving out what was
// overtaken before it could be told. The pod's worker puts, a goroutine sends.
type reporter struct {
	k      *Kubelet
	pod    *corev1.Pod
	latest mailbox[corev1.PodStatus]
	last   corev1.PodStatus // put, by the worker
	closed chan struct{}
	ended  chan struct{}
}

func newReporter(k *Kubelet, pod *corev1.Pod) *reporter {
	return &reporter{k: k, pod: pod, latest: newMailbox[corev1.PodStatus](), closed: make(chan struct{}), ended: make(chan struct{})}
}

func (r *reporter) put(status corev1.PodStatus) {
	if equality.Semantic.DeepEqual(status, r.last) {
		return
	}
	r.last = status
	r.latest.put(status)
}

// run sends until the reporter is closed or ctx ends.
func (r *reporter) run(ctx context.Context) {
	defer close(r.ended)
	for {
		select {
		case status := <-r.latest:
			r.send(ctx, status)
		case <-r.closed:
			return
		case <-ctx.Done():
			return
		}
	}
}

// send tries until the API server has the status, the pod is gone, or there is
// something newer to tell.
func (r *reporter) send(ctx context.Context, status corev1.PodStatus) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": r.pod.UID}, "status": status})
	if err != nil {
		r.k.Log.Error("encode pod status", "error", err)
		return
	}
	pods := r.k.Client.CoreV1().Pods(r.pod.Namespace)
	for ctx.Err() == nil && len(r.latest) == 0 {
		_, err := pods.Patch(ctx, r.pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		if err == nil || gone(err) {
			return
		}
		if apierrors.IsInvalid(err) {
			r.k.Log.Error("report pod status", "pod", r.pod.Namespace+"/"+r.pod.Name, "error", err)
			return
		}
		select {
		case <-r.closed:
			return
		case <-ctx.Done():
		case <-time.After(reportPause):
		}
	}
}

// gone says that the pod, or the one of that UID, is no longer there.
func gone(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsConflict(err)
}

func (r *reporter) close() {
	close(r.closed)
	<-r.ended
}

// finish tells the last status and has the API server forget the pod, if it
// takes until ctx ends.
func (r *reporter) finish(ctx context.Context, status corev1.PodStatus) {
	r.close()
	select {
	case <-r.latest: // overtaken
	default:
	}
	r.closed = make(chan struct{})
	r.send(ctx, status)
	now := int64(0)
	options := metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &r.pod.UID}}
	for ctx.Err() == nil {
		err := r.k.Client.CoreV1().Pods(r.pod.Namespace).Delete(ctx, r.pod.Name, options)
		if err == nil || gone(err) {
			return
		}
		r.k.Log.Warn("delete pod", "pod", r.pod.Namespace+"/"+r.pod.Name, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(reportPause):
		}
	}
}
