package kubelet

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// state makes a container in one of the states: "new", "up", or an exit code.
func state(k kind, s string) *container {
	c := &container{kind: k}
	switch s {
	case "new":
	case "up":
		c.current = &instance{}
	default:
		var code int32
		if _, err := fmt.Sscan(s, &code); err != nil {
			panic(err)
		}
		c.last = &corev1.ContainerStateTerminated{ExitCode: code}
	}
	return c
}

func TestThrough(t *testing.T) {
	const always, onFailure, never = corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever
	for _, c := range []struct {
		kind            kind
		state           string
		policy          corev1.RestartPolicy
		through, failed bool
	}{
		{regular, "new", never, false, false},
		{regular, "up", never, false, false},
		{regular, "0", always, false, false},
		{regular, "1", always, false, false},
		{regular, "0", onFailure, true, false},
		{regular, "1", onFailure, false, false},
		{regular, "0", never, true, false},
		{regular, "1", never, true, true},
		{initial, "0", always, true, false},
		{initial, "1", always, false, false},
		{initial, "1", onFailure, false, false},
		{initial, "1", never, true, true},
		{sidecar, "0", never, false, false},
		{sidecar, "1", never, false, false},
	} {
		got := state(c.kind, c.state)
		if through, failed := got.through(c.policy), got.failed(c.policy); through != c.through || failed != c.failed {
			t.Errorf("kind %d in state %s under %s: through %v, failed %v", c.kind, c.state, c.policy, through, failed)
		}
	}
}

func TestPhaseOf(t *testing.T) {
	type in struct {
		kind  kind
		state string
	}
	for _, c := range []struct {
		policy     corev1.RestartPolicy
		want       corev1.PodPhase
		containers []in
	}{
		{corev1.RestartPolicyAlways, corev1.PodPending, []in{{regular, "new"}}},
		{corev1.RestartPolicyAlways, corev1.PodPending, []in{{initial, "up"}, {regular, "new"}}},
		{corev1.RestartPolicyAlways, corev1.PodPending, []in{{sidecar, "up"}, {regular, "new"}}},
		{corev1.RestartPolicyAlways, corev1.PodRunning, []in{{initial, "0"}, {regular, "up"}}},
		{corev1.RestartPolicyAlways, corev1.PodRunning, []in{{regular, "up"}, {regular, "1"}}},
		{corev1.RestartPolicyAlways, corev1.PodRunning, []in{{regular, "0"}}},
		{corev1.RestartPolicyNever, corev1.PodSucceeded, []in{{regular, "0"}, {regular, "0"}}},
		{corev1.RestartPolicyNever, corev1.PodFailed, []in{{regular, "0"}, {regular, "7"}}},
		{corev1.RestartPolicyNever, corev1.PodRunning, []in{{regular, "7"}, {regular, "up"}}},
		{corev1.RestartPolicyNever, corev1.PodSucceeded, []in{{sidecar, "up"}, {regular, "0"}}},
		{corev1.RestartPolicyNever, corev1.PodFailed, []in{{initial, "1"}, {regular, "new"}}},
		{corev1.RestartPolicyOnFailure, corev1.PodRunning, []in{{regular, "1"}}},
	} {
		var containers []*container
		for _, i := range c.containers {
			containers = append(containers, state(i.kind, i.state))
		}
		if got := phaseOf(containers, c.policy); got != c.want {
			t.Errorf("%v under %s: %s, not %s", c.containers, c.policy, got, c.want)
		}
	}
}

func TestContainersOfStartInOrder(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "first"}, {Name: "beside", RestartPolicy: &always}},
		Containers:     []corev1.Container{{Name: "main"}},
	}}
	want := []struct {
		name string
		kind kind
	}{{"first", initial}, {"beside", sidecar}, {"main", regular}}
	got := containersOf(pod)
	if len(got) != len(want) {
		t.Fatalf("%d containers, not %d", len(got), len(want))
	}
	for i, c := range got {
		if c.spec.Name != want[i].name || c.kind != want[i].kind || c.waiting.Reason != "PodInitializing" {
			t.Errorf("container %d is %s of kind %d, waiting for %s", i, c.spec.Name, c.kind, c.waiting.Reason)
		}
	}
}

func TestTally(t *testing.T) {
	for _, c := range []struct {
		successes, failures int32
		outcomes            string // + and -
		changes             string // what is told at each outcome; . is nothing
	}{
		{1, 3, "---", "..-"},
		{1, 3, "--+---", "..+..-"},
		{1, 1, "-+-+", "-+-+"},
		{2, 1, "+-++", ".-.+"},
		{1, 3, "+--+---", "+.....-"},
		{1, 3, "+++", "+.."},
	} {
		tally := tally{successes: c.successes, failures: c.failures}
		told := ""
		for _, o := range c.outcomes {
			result, changed := tally.count(o == '+')
			switch {
			case !changed:
				told += "."
			case result:
				told += "+"
			default:
				told += "-"
			}
		}
		if told != c.changes {
			t.Errorf("%d/%d %s: told %s, not %s", c.successes, c.failures, c.outcomes, told, c.changes)
		}
	}
}

func TestMailboxKeepsTheLatest(t *testing.T) {
	m := newMailbox[int]()
	m.put(1)
	m.put(2)
	if got := <-m; got != 2 {
		t.Errorf("took %d", got)
	}
	if len(m) != 0 {
		t.Error("something is left")
	}
}
