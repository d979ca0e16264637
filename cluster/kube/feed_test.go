package kube

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// reader is a consumer of a feed of pods which keeps what it was told.
type reader struct {
	t    *testing.T
	feed *Feed
	pods *Table[*cluster.Pod]
	told []string // changes in order of arrival, those of one Take sorted
}

// quick waits next to nothing between attempts.
var quick = wait.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 1}

func follow(t *testing.T, s *apiServer) *reader {
	f := NewFeed(s.client(t), slog.New(slog.DiscardHandler))
	r := &reader{t: t, feed: f, pods: f.Pods(func(p *cluster.Pod) bool { return !p.HostNetwork })}
	start(t, f)
	return r
}

func start(t *testing.T, f *Feed) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.run(ctx, quick)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// until takes changes until the condition holds.
func (r *reader) until(what string, condition func() bool) {
	r.t.Helper()
	deadline := time.After(time.Minute)
	for {
		r.take()
		if condition() {
			return
		}
		select {
		case <-r.feed.News():
		case <-time.After(time.Millisecond): // states change without news
		case <-deadline:
			r.t.Fatalf("waited in vain for %s; told %q, states %+v", what, r.told, r.feed.States())
		}
	}
}

func (r *reader) take() {
	var now []string
	for name, change := range r.pods.Take() {
		line := name.String()
		if change.Gone {
			line += " gone"
		} else {
			line += " " + fmt.Sprint(change.Value.Addrs)
		}
		if len(change.Errs) > 0 {
			line += " errors"
		}
		now = append(now, line)
	}
	slices.Sort(now)
	r.told = append(r.told, now...)
}

func (r *reader) has(lines ...string) func() bool {
	return func() bool {
		for _, line := range lines {
			if !slices.Contains(r.told, line) {
				return false
			}
		}
		return true
	}
}

func pod(name, ip string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Labels: map[string]string{"app": "web"}}}
	p.Status.Phase = corev1.PodRunning
	if ip != "" {
		p.Status.PodIPs = []corev1.PodIP{{IP: ip}}
	}
	return p
}

func TestFeedBeginsWithWhatThereIsAndGoesOn(t *testing.T) {
	for _, paged := range []bool{false, true} {
		s := newAPIServer(t)
		s.noStream = paged
		s.put("pods", pod("one", "10.0.0.1"))
		r := follow(t, s)
		r.until("sync", r.feed.Synced)
		r.take()
		if !r.has("a/one [10.0.0.1]")() {
			t.Errorf("paged %t: synced, but told %q", paged, r.told)
		}
		s.put("pods", pod("two", "10.0.0.2"))
		r.until("a new pod", r.has("a/two [10.0.0.2]"))
		s.put("pods", pod("one", "10.0.0.3"))
		r.until("a new address", r.has("a/one [10.0.0.3]"))
		s.remove("pods", "a", "two")
		r.until("a deletion", r.has("a/two gone"))
		if want := 1; paged && s.asked("sendInitialEvents") != want {
			t.Errorf("asked %d times for a stream that the server refused, want %d", s.asked("sendInitialEvents"), want)
		}
	}
}

func TestListsComeInPages(t *testing.T) {
	s := newAPIServer(t)
	s.noStream = true
	const pods = 2*page + 3
	for i := range pods {
		s.put("pods", pod(fmt.Sprintf("p%04d", i), fmt.Sprintf("10.0.%d.%d", i/256, i%256)))
	}
	r := follow(t, s)
	r.until("sync", r.feed.Synced)
	if got := r.feed.States()[0].Objects; got != pods {
		t.Errorf("%d pods, want %d", got, pods)
	}
	if got := s.asked("limit=500"); got != 3 {
		t.Errorf("%d pages asked for, want 3", got)
	}
}

func TestLostServerIsTriedAgainAndNothingIsListedTwice(t *testing.T) {
	s := newAPIServer(t)
	s.put("pods", pod("one", "10.0.0.1"))
	r := follow(t, s)
	r.until("sync", r.feed.Synced)
	s.setDown(true)
	r.until("the loss to be noticed", func() bool { return r.feed.States()[0].Lost != "" })
	r.take()
	told := len(r.told)
	s.remove("pods", "a", "one")
	s.put("pods", pod("two", "10.0.0.1"))
	s.setDown(false)
	r.until("what happened meanwhile", r.has("a/one gone", "a/two [10.0.0.1]"))
	if len(r.told) != told+2 {
		t.Errorf("told %q after the loss, want the two changes only", r.told[told:])
	}
	state := r.feed.States()[0]
	if state.Lists != 1 || state.Failures != 1 || state.Lost != "" {
		t.Errorf("state %+v: want one list, one failure, none now", state)
	}
}

func TestForgottenHistoryMeansANewList(t *testing.T) {
	for _, late := range []bool{false, true} {
		for _, paged := range []bool{false, true} {
			s := newAPIServer(t)
			s.lateGone, s.noStream = late, paged
			s.put("pods", pod("stays", "10.0.0.1"))
			s.put("pods", pod("goes", "10.0.0.2"))
			r := follow(t, s)
			r.until("sync", r.feed.Synced)
			s.setDown(true)
			r.until("the loss to be noticed", func() bool { return r.feed.States()[0].Lost != "" })
			r.take()
			r.told = nil
			s.remove("pods", "a", "goes")
			s.put("pods", pod("new", "10.0.0.3"))
			s.compact()
			s.setDown(false)
			r.until("the second list", func() bool { return r.feed.States()[0].Lists == 2 })
			r.take()
			slices.Sort(r.told)
			if got, want := strings.Join(r.told, ", "), "a/goes gone, a/new [10.0.0.3]"; got != want {
				t.Errorf("late %t, paged %t: told %q, want %q", late, paged, got, want)
			}
		}
	}
}

func TestNothingIsGoneBeforeAListIsComplete(t *testing.T) {
	s := newAPIServer(t)
	s.put("pods", pod("stays", "10.0.0.1"))
	s.put("pods", pod("goes", "10.0.0.2"))
	r := follow(t, s)
	r.until("sync", r.feed.Synced)
	s.setDown(true)
	r.until("the loss to be noticed", func() bool { return r.feed.States()[0].Lost != "" })
	s.remove("pods", "a", "goes")
	s.put("pods", pod("new", "10.0.0.3"))
	s.compact()
	s.set(func() { s.stall = true })
	s.setDown(false)
	r.until("the part of the list that comes", r.has("a/new [10.0.0.3]"))
	if r.has("a/goes gone")() {
		t.Error("a pod was reported gone although the list was not complete")
	}
	s.setDown(true) // the stream breaks in the middle
	s.set(func() { s.stall = false })
	s.setDown(false)
	r.until("the deletion, after a complete list", r.has("a/goes gone"))
	if r.has("a/stays gone")() {
		t.Error("a pod was reported gone that was in every list")
	}
}

func TestNotSyncedBeforeEveryListIsComplete(t *testing.T) {
	s := newAPIServer(t)
	s.stall = true
	s.put("pods", pod("one", "10.0.0.1"))
	r := follow(t, s)
	r.until("the first pod", r.has("a/one [10.0.0.1]"))
	if r.feed.Synced() {
		t.Error("synced in the middle of a list")
	}
}

func TestOnlyWhatMattersIsTold(t *testing.T) {
	s := newAPIServer(t)
	r := follow(t, s)
	r.until("sync", r.feed.Synced)
	s.put("pods", pod("one", "10.0.0.1"))
	heartbeat := pod("one", "10.0.0.1")
	heartbeat.Status.Message = "another heartbeat"
	heartbeat.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}
	s.put("pods", heartbeat)
	onNode := pod("on-node", "192.0.2.1")
	onNode.Spec.HostNetwork = true
	s.put("pods", onNode)
	s.put("pods", pod("last", "10.0.0.9"))
	r.until("the last pod", r.has("a/last [10.0.0.9]"))
	if want := []string{"a/last [10.0.0.9]", "a/one [10.0.0.1]"}; !slices.Equal(sorted(r.told), want) {
		t.Errorf("told %q, want %q", r.told, want)
	}
}

func TestFinishedPodIsGone(t *testing.T) {
	s := newAPIServer(t)
	s.put("pods", pod("job", "10.0.0.1"))
	r := follow(t, s)
	r.until("the pod", r.has("a/job [10.0.0.1]"))
	done := pod("job", "10.0.0.1")
	done.Status.Phase = corev1.PodSucceeded
	s.put("pods", done)
	r.until("its end", r.has("a/job gone"))
}

func TestWhatIsNotUnderstoodIsTold(t *testing.T) {
	s := newAPIServer(t)
	r := follow(t, s)
	r.until("sync", r.feed.Synced)
	s.put("pods", pod("one", "10.0.0.1"))
	r.until("the pod", r.has("a/one [10.0.0.1]"))
	odd := pod("one", "10.0.0.1")
	odd.Status.PodIPs = append(odd.Status.PodIPs, corev1.PodIP{IP: "nonsense"})
	s.put("pods", odd)
	r.until("the error", r.has("a/one [10.0.0.1] errors"))
	r.told = nil
	s.put("pods", pod("one", "10.0.0.1"))
	r.until("its end", r.has("a/one [10.0.0.1]"))
}

func TestSlowConsumerGetsTheLastStateOnly(t *testing.T) {
	s := newAPIServer(t)
	r := follow(t, s)
	r.until("sync", r.feed.Synced)
	for i := range 100 {
		s.put("pods", pod("one", fmt.Sprintf("10.0.0.%d", i+1)))
	}
	s.put("namespaces", &corev1.Namespace{}) // not followed here
	s.put("pods", pod("two", "10.0.1.1"))
	for r.feed.States()[0].Objects < 2 { // without taking anything
		<-r.feed.News()
	}
	r.take()
	if want := []string{"a/one [10.0.0.100]", "a/two [10.0.1.1]"}; !slices.Equal(r.told, want) {
		t.Errorf("told %q, want %q", r.told, want)
	}
}

func TestOwnNodeAndNamespaces(t *testing.T) {
	s := newAPIServer(t)
	for _, name := range []string{"here", "there"} {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		n.Spec.PodCIDRs = []string{"10.244.1.0/24"}
		s.put("nodes", n)
		s.put("namespaces", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	f := NewFeed(s.client(t), slog.New(slog.DiscardHandler))
	nodes, namespaces := f.Node("here"), f.Namespaces()
	start(t, f)
	for !f.Synced() {
		<-f.News()
	}
	node := nodes.Take()
	if got := node[cluster.Name{Name: "here"}]; len(node) != 1 || got.Value == nil || fmt.Sprint(got.Value.PodCIDRs) != "[10.244.1.0/24]" {
		t.Errorf("nodes %+v, want the one asked for", node)
	}
	if got := slices.Sorted(maps.Keys(namesOf(namespaces.Take()))); !slices.Equal(got, []string{"here", "there"}) {
		t.Errorf("namespaces %q, want both", got)
	}
}

func TestServiceAccountsWithLabels(t *testing.T) {
	s := newAPIServer(t)
	plain := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "default"}}
	labelled := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web", Labels: map[string]string{"team": "x"}}}
	s.put("serviceaccounts", plain)
	s.put("serviceaccounts", labelled)
	f := NewFeed(s.client(t), slog.New(slog.DiscardHandler))
	accounts := f.ServiceAccounts()
	accounts.Want(true)
	start(t, f)
	for !f.Synced() {
		<-f.News()
	}
	got := accounts.Take()
	if c := got[cluster.Name{Namespace: "a", Name: "web"}]; len(got) != 1 || c.Value == nil || c.Value.Labels["team"] != "x" {
		t.Errorf("told %+v, want web alone", got)
	}
}

func namesOf[V any](changes map[cluster.Name]Change[V]) map[string]bool {
	names := map[string]bool{}
	for name := range changes {
		names[name.Name] = true
	}
	return names
}

func sorted(lines []string) []string {
	lines = slices.Clone(lines)
	slices.Sort(lines)
	return lines
}
