package kube

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	restwatch "k8s.io/client-go/rest/watch"
)

// apiServer is the part of an API server that a feed talks to: lists, pages,
// watches with and without a list at their beginning, history and its end. Of
// what is built in it speaks protobuf and nothing else, as the feed must; of what
// definitions make it speaks JSON, as the API server does.
type apiServer struct {
	http *httptest.Server

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced at every change
	version   int
	objects   map[string]metav1.Object // by resource/namespace/name
	history   []record
	compacted int  // versions up to this are forgotten
	noStream  bool // as Kubernetes before 1.32
	lateGone  bool // tells of forgotten versions in the stream instead of by status
	stall     bool // streams stop short of the bookmark that ends the list
	down      bool
	requests  []string
	events    []*eventsv1.Event // that were created
	failures  int               // requests to answer with an error before one succeeds
	streams   map[chan struct{}]bool
}

type record struct {
	version  int
	resource string
	event    watch.Event
	before   metav1.Object
}

var lists = map[string]func() runtime.Object{
	"pods":            func() runtime.Object { return &corev1.PodList{} },
	"serviceaccounts": func() runtime.Object { return &corev1.ServiceAccountList{} },
	"namespaces":      func() runtime.Object { return &corev1.NamespaceList{} },
	"services":        func() runtime.Object { return &corev1.ServiceList{} },
	"endpointslices":  func() runtime.Object { return &discoveryv1.EndpointSliceList{} },
	"nodes":           func() runtime.Object { return &corev1.NodeList{} },
	"networkpolicies": func() runtime.Object { return &networkingv1.NetworkPolicyList{} },
}

func newAPIServer(t *testing.T) *apiServer {
	s := &apiServer{
		changed: make(chan struct{}), version: 100,
		objects: map[string]metav1.Object{}, streams: map[chan struct{}]bool{},
	}
	s.http = httptest.NewServer(s)
	t.Cleanup(func() {
		s.setDown(true)
		s.http.Close()
	})
	return s
}

func (s *apiServer) client(t *testing.T) *Client {
	c, err := newClient(&rest.Config{Host: s.http.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// set changes the server's manners under its lock and wakes every watch.
func (s *apiServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *apiServer) setDown(down bool) {
	s.set(func() {
		s.down = down
		if down {
			for end := range s.streams {
				close(end)
			}
			s.streams = map[chan struct{}]bool{}
		}
	})
}

// compact forgets all history up to now.
func (s *apiServer) compact() { s.set(func() { s.compacted, s.history = s.version, nil }) }

func (s *apiServer) put(resource string, object metav1.Object) {
	s.set(func() {
		s.version++
		object.SetResourceVersion(strconv.Itoa(s.version))
		key := resource + "/" + object.GetNamespace() + "/" + object.GetName()
		kind := watch.Added
		if s.objects[key] != nil {
			kind = watch.Modified
		}
		event := watch.Event{Type: kind, Object: object.(runtime.Object)}
		s.history = append(s.history, record{s.version, resource, event, s.objects[key]})
		s.objects[key] = object
	})
}

func (s *apiServer) remove(resource, namespace, name string) {
	s.set(func() {
		s.version++
		key := resource + "/" + namespace + "/" + name
		object := s.objects[key].(runtime.Object).DeepCopyObject()
		before := s.objects[key]
		delete(s.objects, key)
		object.(metav1.Object).SetResourceVersion(strconv.Itoa(s.version))
		s.history = append(s.history, record{s.version, resource, watch.Event{Type: watch.Deleted, Object: object}, before})
	})
}

// asked are the requests so far for a resource that contain the text.
func (s *apiServer) asked(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if strings.Contains(r, text) {
			n++
		}
	}
	return n
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	down := s.down
	s.requests = append(s.requests, r.URL.String())
	s.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	media := mediaOf(r)
	if accept := r.Header.Get("Accept"); !strings.HasPrefix(accept, media) {
		http.Error(w, "accepts "+accept, http.StatusNotAcceptable)
		return
	}
	w.Header().Set("Content-Type", media)
	if r.Method == http.MethodPost {
		s.create(w, r)
		return
	}
	resource := resourceOf(r)
	if defined := strings.HasPrefix(resource, "policy.example.com/"); defined && !s.serves(resource) {
		respond(w, http.StatusNotFound, &apierrors.NewNotFound(schema.GroupResource{}, "").ErrStatus)
		return
	}
	var options metav1.ListOptions
	if err := parameters.DecodeParameters(r.URL.Query(), schema.GroupVersion{Version: "v1"}, &options); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	selected := fields.ParseSelectorOrDie(options.FieldSelector)
	if options.Watch {
		s.watch(w, r, resource, options, selected)
	} else {
		s.list(w, resource, options, selected)
	}
}

func (s *apiServer) create(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	event := &eventsv1.Event{}
	if err := runtime.DecodeInto(codecs.UniversalDeserializer(), body, event); err != nil {
		panic(err)
	}
	s.set(func() {
		switch {
		case s.failures > 0:
			s.failures--
			respond(w, http.StatusInternalServerError, &apierrors.NewInternalError(errors.New("try again")).ErrStatus)
		case slices.ContainsFunc(s.events, func(e *eventsv1.Event) bool { return e.Name == event.Name }):
			respond(w, http.StatusConflict, &apierrors.NewAlreadyExists(schema.GroupResource{Resource: "events"}, event.Name).ErrStatus)
		default:
			s.events = append(s.events, event)
			respond(w, http.StatusCreated, event)
		}
	})
}

func matches(selector fields.Selector, object metav1.Object) bool {
	set := fields.Set{"metadata.name": object.GetName()}
	if pod, ok := object.(*corev1.Pod); ok {
		set["status.phase"] = string(pod.Status.Phase)
	}
	return selector.Matches(set)
}

func (s *apiServer) selected(resource string, selector fields.Selector) []metav1.Object {
	var found []metav1.Object
	for key, object := range s.objects {
		if strings.HasPrefix(key, resource+"/") && matches(selector, object) {
			found = append(found, object)
		}
	}
	slices.SortFunc(found, func(a, b metav1.Object) int {
		return strings.Compare(a.GetNamespace()+"/"+a.GetName(), b.GetNamespace()+"/"+b.GetName())
	})
	return found
}

func (s *apiServer) list(w http.ResponseWriter, resource string, options metav1.ListOptions, selector fields.Selector) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.selected(resource, selector)
	from, _ := strconv.Atoi(options.Continue)
	to := min(len(found), from+int(options.Limit))
	items := []runtime.Object{}
	for _, object := range found[from:to] {
		items = append(items, object.(runtime.Object))
	}
	if mediaOfResource(resource) == runtime.ContentTypeJSON {
		respondJSON(w, s.version, to, found[from:to], len(found))
		return
	}
	list := lists[resource]()
	if err := meta.SetList(list, items); err != nil {
		panic(err)
	}
	m, _ := meta.ListAccessor(list)
	m.SetResourceVersion(strconv.Itoa(s.version))
	if to < len(found) {
		m.SetContinue(strconv.Itoa(to))
	}
	respond(w, http.StatusOK, list)
}

func respond(w http.ResponseWriter, status int, object runtime.Object) {
	body, err := runtime.Encode(encoder(w.Header().Get("Content-Type")), object)
	if err != nil {
		panic(err)
	}
	w.WriteHeader(status)
	w.Write(body)
}

func encoder(media string) runtime.Encoder {
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), media)
	return codecs.WithoutConversion().EncoderForVersion(info.Serializer, schema.GroupVersions{
		corev1.SchemeGroupVersion, networkingv1.SchemeGroupVersion, eventsv1.SchemeGroupVersion, discoveryv1.SchemeGroupVersion,
	})
}

func (s *apiServer) watch(w http.ResponseWriter, r *http.Request, resource string, options metav1.ListOptions, selector fields.Selector) {
	s.mu.Lock()
	end := make(chan struct{})
	s.streams[end] = true
	initial := options.SendInitialEvents != nil && *options.SendInitialEvents
	from, _ := strconv.Atoi(options.ResourceVersion)
	expired := apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", from, s.compacted))
	if initial && s.noStream {
		respond(w, http.StatusUnprocessableEntity, &apierrors.NewInvalid(schema.GroupKind{}, "", nil).ErrStatus)
		s.mu.Unlock()
		return
	}
	if !initial && from < s.compacted && !s.lateGone {
		respond(w, http.StatusGone, &expired.ErrStatus)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	stream := newStream(w)
	if !initial && from < s.compacted {
		stream.send(watch.Event{Type: watch.Error, Object: &expired.ErrStatus})
		return
	}
	if initial {
		from = s.sendInitial(stream, resource, selector)
	}
	s.follow(r, end, stream, resource, selector, from)
}

func (s *apiServer) sendInitial(stream stream, resource string, selector fields.Selector) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, object := range s.selected(resource, selector) {
		stream.send(watch.Event{Type: watch.Added, Object: object.(runtime.Object)})
	}
	if !s.stall {
		var bookmark metav1.Object = &corev1.Pod{} // any kind will do for a reader of metadata
		if mediaOfResource(resource) == runtime.ContentTypeJSON {
			bookmark = defined("", "Bookmark", "")
		}
		bookmark.SetResourceVersion(strconv.Itoa(s.version))
		bookmark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		stream.send(watch.Event{Type: watch.Bookmark, Object: bookmark.(runtime.Object)})
	}
	return s.version
}

// follow sends what happens until the client or the server goes.
func (s *apiServer) follow(r *http.Request, end chan struct{}, stream stream, resource string, selector fields.Selector, from int) {
	for {
		s.mu.Lock()
		changed := s.changed
		for _, rec := range s.history {
			if rec.version > from && rec.resource == resource {
				if event, ok := selectedEvent(rec, selector); ok {
					stream.send(event)
				}
			}
		}
		from = s.version
		s.mu.Unlock()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		case <-end:
			panic(http.ErrAbortHandler)
		}
	}
}

// selectedEvent is the event as a watch with a selector sees it: what leaves
// the selection is deleted.
func selectedEvent(rec record, selector fields.Selector) (watch.Event, bool) {
	was := rec.before != nil && matches(selector, rec.before)
	is := rec.event.Type != watch.Deleted && matches(selector, rec.event.Object.(metav1.Object))
	switch {
	case was && !is:
		return watch.Event{Type: watch.Deleted, Object: rec.event.Object}, true
	case is && !was:
		return watch.Event{Type: watch.Added, Object: rec.event.Object}, true
	}
	return rec.event, is
}

// stream writes watch events.
type stream struct {
	w       http.ResponseWriter
	encoder *restwatch.Encoder
}

func newStream(w http.ResponseWriter) stream {
	media := w.Header().Get("Content-Type")
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), media)
	w.Header().Set("Content-Type", media+";stream=watch")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	frames := info.StreamSerializer.Framer.NewFrameWriter(w)
	objects := encoder(media)
	if media == runtime.ContentTypeJSON {
		objects = unstructured.UnstructuredJSONScheme
	}
	return stream{w, restwatch.NewEncoder(streaming.NewEncoder(frames, info.StreamSerializer.Serializer), objects)}
}

func (s stream) send(event watch.Event) {
	if err := s.encoder.Encode(&event); err != nil {
		panic(http.ErrAbortHandler)
	}
	s.w.(http.Flusher).Flush()
}
