package kube

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// The part of the API server that serves definitions and what they make. An
// object of a definition is kept under its group, version and resource.

func mediaOf(r *http.Request) string { return mediaOfResource(resourceOf(r)) }

func mediaOfResource(resource string) string {
	if strings.HasPrefix(resource, "policy.example.com/") || resource == "customresourcedefinitions" {
		return runtime.ContentTypeJSON
	}
	return runtime.ContentTypeProtobuf
}

func resourceOf(r *http.Request) string {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/apis/policy.example.com/"); ok {
		return "policy.example.com/" + rest
	}
	return r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
}

// serves tells whether some definition says that the resource is served.
func (s *apiServer) serves(resource string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, object := range s.objects {
		if strings.HasPrefix(key, "customresourcedefinitions/") && slices.Contains(strings.Split(object.GetLabels()["serves"], "_"), resource[len("policy.example.com/"):]) {
			return true
		}
	}
	return false
}

func respondJSON(w http.ResponseWriter, version, to int, found []metav1.Object, all int) {
	list := map[string]any{"metadata": map[string]any{"resourceVersion": strconv.Itoa(version)}, "items": found}
	if to < all {
		list["metadata"].(map[string]any)["continue"] = strconv.Itoa(to)
	}
	if err := json.NewEncoder(w).Encode(list); err != nil {
		panic(err)
	}
}

func defined(apiVersion, kind, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	o.SetName(name)
	return o
}

// definition serves resources, each "version/name", with an underscore between.
func definition(name, serves string) *unstructured.Unstructured {
	o := defined("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
	o.SetLabels(map[string]string{"serves": serves})
	return o
}

func wall(version, name string, height int) *unstructured.Unstructured {
	o := defined("policy.example.com/"+version, "Wall", name)
	o.Object["spec"] = map[string]any{"height": int64(height)}
	return o
}

// walls is a consumer of a feed of walls.
type walls struct {
	t     *testing.T
	feed  *Feed
	table *Table[int]
	is    map[string]int
}

func followWalls(t *testing.T, s *apiServer) *walls {
	f := NewFeed(s.client(t), slog.New(slog.DiscardHandler))
	definition := Definition{Group: "policy.example.com", Kind: "Wall", Resource: "walls", Versions: []string{"v2", "v1"}}
	table := FollowDefined(f, definition, func(o *Custom) Reading[int] {
		var wall struct{ Spec struct{ Height int } }
		if err := json.Unmarshal(o.JSON, &wall); err != nil {
			t.Error(err)
		}
		return Reading[int]{Value: wall.Spec.Height}
	}, func(a, b int) bool { return a == b })
	start(t, f)
	return &walls{t, f, table, map[string]int{}}
}

// until takes changes until the walls are as wanted: "name height", sorted.
func (w *walls) until(want ...string) {
	w.t.Helper()
	deadline := time.After(time.Minute)
	for {
		for name, change := range w.table.Take() {
			if change.Gone {
				delete(w.is, name.Name)
			} else {
				w.is[name.Name] = change.Value
			}
		}
		var got []string
		for name, height := range w.is {
			got = append(got, fmt.Sprint(name, " ", height))
		}
		slices.Sort(got)
		if w.feed.Synced() && slices.Equal(got, want) {
			return
		}
		select {
		case <-w.feed.News():
		case <-time.After(time.Millisecond):
		case <-deadline:
			w.t.Fatalf("there are %q, want %q; states %+v", got, want, w.feed.States())
		}
	}
}

func TestDefinitionsComeAndGo(t *testing.T) {
	for _, paged := range []bool{false, true} {
		s := newAPIServer(t)
		s.noStream = paged
		s.put("customresourcedefinitions", definition("gates.example.com", ""))
		w := followWalls(t, s)
		w.until() // nothing is installed, and nobody waits for it
		if got := s.asked("/walls"); got != 0 {
			t.Errorf("asked %d times for what is not installed", got)
		}
		s.put("policy.example.com/v2/walls", wall("v2", "north", 3))
		s.put("customresourcedefinitions", definition("walls.policy.example.com", "v2/walls"))
		w.until("north 3")
		s.put("policy.example.com/v2/walls", wall("v2", "south", 5))
		w.until("north 3", "south 5")
		s.remove("policy.example.com/v2/walls", "", "north")
		w.until("south 5")
		s.remove("customresourcedefinitions", "", "walls.policy.example.com")
		w.until()
		s.put("customresourcedefinitions", definition("walls.policy.example.com", "v2/walls"))
		w.until("south 5")
		s.put("policy.example.com/v2/walls", wall("v2", "south", 6))
		w.until("south 6")
	}
}

// A feed does not begin before it has what definitions make that are there.
func TestSyncedMeansThatDefinedObjectsAreThere(t *testing.T) {
	s := newAPIServer(t)
	s.put("customresourcedefinitions", definition("walls.policy.example.com", "v2/walls"))
	s.put("policy.example.com/v2/walls", wall("v2", "north", 3))
	w := followWalls(t, s)
	for !w.feed.Synced() {
		<-w.feed.News()
	}
	if got := w.table.Take()[cluster.Name{Name: "north"}]; got.Value != 3 || got.Object.APIVersion != "policy.example.com/v2" {
		t.Errorf("synced, and north is %+v", got)
	}
}

// Of the versions that can be read the first that is served is taken; one that
// goes leaves nothing out.
func TestVersionsOfADefinition(t *testing.T) {
	s := newAPIServer(t)
	s.put("customresourcedefinitions", definition("walls.policy.example.com", "v1/walls"))
	s.put("policy.example.com/v1/walls", wall("v1", "north", 3))
	w := followWalls(t, s)
	w.until("north 3")
	s.put("policy.example.com/v2/walls", wall("v2", "north", 3))
	s.put("policy.example.com/v2/walls", wall("v2", "south", 4))
	s.put("customresourcedefinitions", definition("walls.policy.example.com", "v2/walls"))
	s.setDown(true)
	s.setDown(false)
	w.until("north 3", "south 4")
}

// A definition that serves nothing that can be read holds nobody up, is told of,
// and is followed as soon as it does.
func TestDefinitionWithoutAKnownVersion(t *testing.T) {
	s := newAPIServer(t)
	s.put("customresourcedefinitions", definition("walls.policy.example.com", "v3/walls"))
	s.put("policy.example.com/v1/walls", wall("v1", "north", 3))
	w := followWalls(t, s)
	w.until()
	if state := w.table.State(); state.Absent == "" || state.Lost != "" {
		t.Errorf("it is %+v, want a reason why there is nothing", state)
	}
	s.put("customresourcedefinitions", definition("walls.policy.example.com", "v1/walls"))
	w.until("north 3")
	if state := w.table.State(); state.Absent != "" {
		t.Errorf("it is %+v", state)
	}
}
