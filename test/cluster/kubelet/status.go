package kubelet

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// status describes the pod as it is now. Addresses stay in it after the sandbox
// is gone, as they do in a real cluster.
func (w *worker) status() corev1.PodStatus {
	status := corev1.PodStatus{
		Phase: w.phase, StartTime: &w.started, QOSClass: w.pod.Status.QOSClass,
		HostIP:                w.k.Node.Addresses[0].String(),
		InitContainerStatuses: statusesOf(w.containers, initial, sidecar),
		ContainerStatuses:     statusesOf(w.containers, regular),
	}
	for _, a := range w.k.Node.Addresses {
		status.HostIPs = append(status.HostIPs, corev1.HostIP{IP: a.String()})
	}
	if w.box != nil {
		w.told = nil
		for _, a := range w.box.addresses {
			w.told = append(w.told, corev1.PodIP{IP: a.String()})
		}
	}
	if len(w.told) > 0 {
		status.PodIP, status.PodIPs = w.told[0].IP, w.told
	}
	w.conditions = mergeConditions(w.conditions, w.currentConditions(), metav1.Now())
	status.Conditions = w.conditions
	return status
}

func statusesOf(containers []*container, kinds ...kind) []corev1.ContainerStatus {
	var all []corev1.ContainerStatus
	for _, c := range containers {
		for _, k := range kinds {
			if c.kind == k {
				all = append(all, c.status())
			}
		}
	}
	return all
}

func (c *container) status() corev1.ContainerStatus {
	started := c.started
	s := corev1.ContainerStatus{Name: c.spec.Name, Image: c.spec.Image, ImageID: c.spec.Image,
		Ready: c.ready, Started: &started, RestartCount: c.restarts}
	switch {
	case c.current != nil:
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(c.current.began)}
		s.ContainerID = c.current.id
		s.LastTerminationState.Terminated = c.before
	case c.last != nil:
		s.State.Terminated = c.last
		s.ContainerID = c.last.ContainerID
		s.LastTerminationState.Terminated = c.before
	default:
		s.State.Waiting = c.waiting
		s.LastTerminationState.Terminated = c.before
	}
	// An init container that did its work counts as ready.
	if c.kind == initial && c.last != nil && c.last.ExitCode == 0 {
		s.Ready = true
	}
	return s
}

// currentConditions are what is true now, without times.
func (w *worker) currentConditions() []corev1.PodCondition {
	initialized, ready := true, !ended(w.phase)
	for _, c := range w.containers {
		switch c.kind {
		case initial:
			initialized = initialized && c.last != nil && c.last.ExitCode == 0
		case sidecar:
			initialized = initialized && c.begun
			ready = ready && c.ready
		case regular:
			ready = ready && c.ready
		}
	}
	ready = ready && initialized
	gates := ready
	for _, gate := range w.pod.Spec.ReadinessGates {
		gates = gates && conditionTrue(w.pod.Status.Conditions, gate.ConditionType)
	}
	return []corev1.PodCondition{
		condition(corev1.PodReadyToStartContainers, w.box != nil, ""),
		condition(corev1.PodInitialized, initialized, "ContainersNotInitialized"),
		condition(corev1.PodReady, gates, "ContainersNotReady"),
		condition(corev1.ContainersReady, ready, "ContainersNotReady"),
		condition(corev1.PodScheduled, true, ""),
	}
}

func condition(kind corev1.PodConditionType, holds bool, otherwise string) corev1.PodCondition {
	if holds {
		return corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue}
	}
	return corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, Reason: otherwise}
}

func conditionTrue(conditions []corev1.PodCondition, kind corev1.PodConditionType) bool {
	for _, c := range conditions {
		if c.Type == kind {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// mergeConditions dates the conditions: one that has not changed keeps its time.
func mergeConditions(before, now []corev1.PodCondition, at metav1.Time) []corev1.PodCondition {
	merged := make([]corev1.PodCondition, len(now))
	for i, c := range now {
		c.LastTransitionTime = at
		for _, old := range before {
			if old.Type == c.Type && old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
		}
		merged[i] = c
	}
	return merged
}
