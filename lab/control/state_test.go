package control

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

func unpack(t *testing.T, s State) *manifest.Bundle {
	t.Helper()
	b, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStateTravels(t *testing.T) {
	options := manifest.Options{Nodes: 2}
	before, err := manifest.Load([]string{"-"}, options, strings.NewReader(world+"\n---\n"+denyB))
	if err != nil {
		t.Fatal(err)
	}
	state, err := NewState(before, options.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	after := unpack(t, state)
	delete(after.Snapshot.Namespaces, "default") // which a state always has
	if !reflect.DeepEqual(before.Snapshot, after.Snapshot) {
		t.Errorf("before\n%+v\nafter\n%+v", before.Snapshot, after.Snapshot)
	}
	for ref := range before.Policies.Policies {
		if after.Policies.Policies[ref] == nil {
			t.Errorf("policy %s is lost", ref)
		}
	}
}

func TestChangesKeepTheRest(t *testing.T) {
	before := newState(t, world)
	pods := unpack(t, before).Snapshot.Pods
	const more = `{apiVersion: v1, kind: Pod, metadata: {name: 0-first, namespace: x}, spec: {containers: [{name: c, image: i}]}}`
	added, _, err := before.Add([]string{"-"}, strings.NewReader(more+"\n---\n"+denyB))
	if err != nil {
		t.Fatal(err)
	}
	b := unpack(t, added)
	if len(b.Snapshot.Pods) != 3 || len(b.Policies.Policies) != 1 || added.Version != before.Version+1 {
		t.Errorf("added: %d pods, %d policies, version %d", len(b.Snapshot.Pods), len(b.Policies.Policies), added.Version)
	}
	for name, pod := range pods {
		if !reflect.DeepEqual(b.Snapshot.Pods[name], pod) {
			t.Errorf("%s: was %+v, is %+v", name, pod, b.Snapshot.Pods[name])
		}
	}
	changed, _, err := added.Add([]string{"-"}, strings.NewReader(strings.Replace(more, "metadata: {", "metadata: {labels: {new: label}, ", 1)))
	if err != nil {
		t.Fatal(err)
	}
	first := cluster.Name{Namespace: "x", Name: "0-first"}
	if now := unpack(t, changed).Snapshot.Pods[first]; now.Labels["new"] != "label" || !reflect.DeepEqual(now.Addrs, b.Snapshot.Pods[first].Addrs) {
		t.Errorf("changed: %+v", now)
	}
	removed, _, err := changed.Remove([]string{"-"}, strings.NewReader(more+"\n---\n"+denyB))
	if err != nil {
		t.Fatal(err)
	}
	if b := unpack(t, removed); !reflect.DeepEqual(b.Snapshot.Pods, pods) || len(b.Policies.Policies) != 0 {
		t.Errorf("removed: %+v, %v", b.Snapshot.Pods, b.Policies.Policies)
	}
	empty, _, err := removed.Remove([]string{"-"}, strings.NewReader(world))
	if err != nil {
		t.Fatal(err)
	}
	if b := unpack(t, empty); len(b.Snapshot.Pods) != 0 {
		t.Errorf("everything removed: %+v", b.Snapshot.Pods)
	}
	if again, _, err := empty.Add([]string{"-"}, strings.NewReader(world)); err != nil || len(unpack(t, again).Snapshot.Pods) != 2 {
		t.Errorf("and added again: %v", err)
	}
}

func TestMistakesAreTheUsers(t *testing.T) {
	s := newState(t, world)
	for want, change := range map[string]func() error{
		"broken YAML":    func() error { _, _, err := s.Add([]string{"-"}, strings.NewReader("a: [")); return err },
		"not in the lab": func() error { _, _, err := s.Remove([]string{"-"}, strings.NewReader(denyB)); return err },
		"no such file":   func() error { _, _, err := s.Remove([]string{"/no/such/file"}, nil); return err },
	} {
		var input InputError
		if err := change(); !errors.As(err, &input) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
