package manifest

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/manifest/document"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// loader gathers the objects of one Load and what is wrong with them.
type loader struct {
	opts    Options
	objects []*object
	byKey   map[key]*object
	skipped map[Skipped]int // with Count zero
	errs    Errors
}

func newLoader(opts Options) *loader {
	return &loader{opts: opts, byKey: map[key]*object{}, skipped: map[Skipped]int{}}
}

// key tells objects apart. It has no API version but its group: the API knows
// one object by several versions.
type key struct {
	group, kind, namespace, name string
}

// groupOf is the part of an apiVersion before the slash; the oldest group has
// none.
func groupOf(apiVersion string) string {
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return ""
	}
	return group
}

// object is one object of the input.
type object struct {
	Object
	node *document.Node
	kind *kind
	body metav1.Object // of the kind's API type, with its namespace filled in
}

func (o *Object) key() key { return key{groupOf(o.APIVersion), o.Kind, o.Namespace, o.Name} }

// String is "Kind namespace/name", as far as it has them.
func (o *Object) String() string {
	switch {
	case o.Name == "":
		return o.Kind
	case o.Namespace == "":
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

func (l *loader) fail(e *Error) { l.errs = append(l.errs, e) }

// failAt reports an error at a field of an object.
func (l *loader) failAt(o *object, path, format string, args ...any) {
	l.failLine(o, o.node.LineOf(path), path, fmt.Sprintf(format, args...))
}

func (l *loader) failLine(o *object, line int, path, message string) {
	l.fail(&Error{
		File: o.Source.File, Line: line, Object: o.String(), Field: path, Message: message,
		ofPolicy: o.kind != nil && o.kind.policy != nil,
	})
}

// failFields reports what the validation of an object, or of a part of it below
// the prefix, found.
func (l *loader) failFields(o *object, prefix string, errs field.ErrorList) {
	for _, e := range errs {
		l.failAt(o, o.labelPath(prefix+e.Field, e.BadValue), "%s", e.ErrorBody())
	}
}

// labelPath is the path of the label that is invalid, where the API's validation
// only names the map that it is in.
func (o *object) labelPath(path string, invalid any) string {
	labels := o.node.At(path)
	if labels == nil || labels.Kind != document.Map {
		return path
	}
	for _, f := range labels.Fields {
		if f.Name == invalid || f.Value.Kind == document.String && f.Value.Value == invalid {
			return path + "[" + f.Name + "]"
		}
	}
	return path
}

// incomplete: something is wrong with the cluster itself, beyond its policies.
func (l *loader) incomplete() bool {
	return slices.ContainsFunc(l.errs, func(e *Error) bool { return !e.ofPolicy })
}

// parseAll adds the objects of all files, in the files' order. Parsing is most
// of the work, so it is spread over the processors.
func (l *loader) parseAll(texts []text) {
	type parsed struct {
		nodes    []*document.Node
		problems []document.Problem
	}
	results := make([]parsed, len(texts))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, t := range texts {
		group.Go(func() error {
			results[i].nodes, results[i].problems = document.Parse(t.data)
			return nil
		})
	}
	group.Wait()
	for i, t := range texts {
		for _, p := range results[i].problems {
			l.fail(&Error{File: t.file, Line: p.Line, Message: p.Message})
		}
		for _, node := range results[i].nodes {
			l.addNode(t.file, node, typeMeta{})
		}
	}
}

// typeMeta is an object's kind.
type typeMeta struct {
	APIVersion, Kind string
}

// addNode adds an object or the items of a List. Items of a typed list, such as
// PodList, need not repeat their kind.
func (l *loader) addNode(file string, node *document.Node, inherited typeMeta) {
	meta := typeMeta{node.StringAt("apiVersion"), node.StringAt("kind")}
	meta.APIVersion = cmp.Or(meta.APIVersion, inherited.APIVersion)
	meta.Kind = cmp.Or(meta.Kind, inherited.Kind)
	fail := func(format string, args ...any) {
		l.fail(&Error{File: file, Line: node.Line, Message: fmt.Sprintf(format, args...)})
	}
	switch {
	case node.Kind != document.Map:
		fail("not a Kubernetes object: must be a map with apiVersion, kind and metadata, is %s", node)
	case meta.Kind == "" && isKustomization(file):
		l.skip(typeMeta{"kustomize.config.k8s.io/v1beta1", "Kustomization"})
	case meta.Kind == "" || meta.APIVersion == "":
		fail("not a Kubernetes object: it needs an apiVersion and a kind, such as apiVersion: v1 and kind: Pod")
	case strings.HasSuffix(meta.Kind, "List") && node.Get("items") != nil:
		l.addItems(file, node.Get("items"), meta)
	default:
		l.addObject(file, node, meta)
	}
}

func (l *loader) addItems(file string, items *document.Node, list typeMeta) {
	item := typeMeta{list.APIVersion, strings.TrimSuffix(list.Kind, "List")}
	if item.Kind == "" {
		item = typeMeta{} // items of a plain List say themselves what they are
	}
	if items.Kind != document.List && items.Kind != document.Null {
		l.fail(&Error{File: file, Line: items.Line, Field: "items", Message: "must be a list, is " + items.String()})
	}
	for _, node := range items.Items {
		l.addNode(file, node, item)
	}
}

func (l *loader) skip(meta typeMeta) {
	l.skipped[Skipped{APIVersion: meta.APIVersion, Kind: meta.Kind}]++
}

func (l *loader) addObject(file string, node *document.Node, meta typeMeta) {
	o := &object{node: node, Object: Object{APIVersion: meta.APIVersion, Kind: meta.Kind, Source: policy.Source{File: file, Line: node.Line}}}
	k, path, message := kindOf(meta)
	o.kind = k
	switch {
	case message != "":
		o.Name, o.Namespace = node.Get("metadata").StringAt("name"), node.Get("metadata").StringAt("namespace")
		l.failAt(o, path, "%s", message)
	case k == nil:
		l.skip(meta)
	default:
		l.decode(o)
	}
}

// decode fills the object and adds it, unless it is wrong or there is one of its
// name already.
func (l *loader) decode(o *object) {
	body, problems := o.kind.decode(o.node)
	switch {
	case o.kind.clusterWide:
		body.SetNamespace("")
	case body.GetNamespace() == "":
		body.SetNamespace("default")
	}
	o.body, o.Name, o.Namespace = body, body.GetName(), body.GetNamespace()
	o.APIVersion = cmp.Or(o.kind.known, o.APIVersion)
	for _, p := range problems {
		l.failLine(o, p.Line, p.Path, p.Message)
	}
	if len(problems) > 0 {
		return
	}
	l.failFields(o, "", o.kind.checkMeta(body))
	l.add(o)
}

func (l *loader) add(o *object) {
	first := l.byKey[o.key()]
	switch {
	case first == nil || o.Name == "":
		l.objects = append(l.objects, o)
	case l.opts.Replace && first.Source.File != o.Source.File:
		l.objects[slices.Index(l.objects, first)] = o
	default:
		l.failAt(o, "", "is declared twice, first at %s:%d: remove or rename one", first.Source.File, first.Source.Line)
		return
	}
	l.byKey[o.key()] = o
}

// leaveOut drops objects as if they had not been read.
func (l *loader) leaveOut(unwanted []Object) {
	for _, u := range unwanted {
		if o := l.byKey[u.key()]; o != nil {
			delete(l.byKey, u.key())
			l.objects = slices.DeleteFunc(l.objects, func(other *object) bool { return other == o })
		}
	}
}

// addDefaults adds the objects that the input does not declare.
func (l *loader) addDefaults(data []byte) {
	d := newLoader(l.opts)
	d.parseAll([]text{{"built-in defaults", data}})
	l.errs = append(l.errs, d.errs...)
	for _, o := range d.objects {
		if l.byKey[o.key()] == nil {
			l.byKey[o.key()] = o
			l.objects = append(l.objects, o)
		}
	}
}

// checkFound: a path in which there is nothing was not what the user meant.
func (l *loader) checkFound(paths []string) {
	if len(paths) == 0 {
		l.fail(&Error{Message: "nothing to read: name files, folders or - for standard input"})
		return
	}
	if len(l.objects)+len(l.skipped)+len(l.errs) == 0 {
		l.fail(&Error{File: strings.Join(paths, ", "), Message: "nothing found: no Kubernetes object in it"})
	}
}

func (l *loader) listSkipped() []Skipped {
	var all []Skipped
	for s, n := range l.skipped {
		s.Count = n
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Skipped) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.APIVersion, b.APIVersion))
	})
	return all
}
