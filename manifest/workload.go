package manifest

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// MaxPods is how many pods a cluster may have, the size of the largest that
// Kubernetes supports.
const MaxPods = 150_000

// owned are the objects that own another object of the input. Their controller
// has done its work already: what it made is in the input and counts.
func (l *loader) owned() map[key]bool {
	owned := map[key]bool{}
	for _, o := range l.objects {
		if owner, ok := o.owner(); ok {
			owned[owner] = true
		}
	}
	return owned
}

// owner is the object's controller.
func (o *object) owner() (key, bool) {
	b, ok := o.body.(interface{ meta() *objectMeta })
	if !ok {
		return key{}, false
	}
	references := b.meta().OwnerReferences
	for _, r := range references {
		if r.Controller || len(references) == 1 {
			return key{r.Kind, o.Namespace, r.Name}, true
		}
	}
	return key{}, false
}

// maxOwners bounds the chain of owners, which in the input may be a ring.
const maxOwners = 10

// workloadOf is "Kind/name" of the topmost owner. A Deployment that is not in
// the input is recognised by the hash with which it names its ReplicaSets.
func (l *loader) workloadOf(o *object) string {
	owner, ok := o.owner()
	for range maxOwners {
		above := l.byKey[owner]
		if above == nil {
			break
		}
		next, hasOwner := above.owner()
		if !hasOwner {
			break
		}
		owner = next
	}
	if !ok || owner.kind == "Node" { // a static pod's record
		return ""
	}
	if pod, ok := o.body.(*podBody); ok && owner.kind == "ReplicaSet" && l.byKey[owner] == nil {
		suffix := "-" + pod.Metadata.Labels["pod-template-hash"]
		if name, ok := strings.CutSuffix(owner.name, suffix); ok && suffix != "-" {
			return "Deployment/" + name
		}
	}
	return owner.kind + "/" + owner.name
}

// expand makes a workload's pods.
func (b *builder) expand(o *object) {
	switch body := o.body.(type) {
	case *workloadBody:
		b.expandReplicas(o, body)
	case *jobBody:
		if !body.ended() {
			b.expandJob(o, "spec", &body.Spec)
		}
	case *cronJobBody:
		if !body.Spec.Suspend {
			b.expandJob(o, "spec.jobTemplate.spec", &body.Spec.JobTemplate.Spec)
		}
	}
}

func (b *builder) expandReplicas(o *object, body *workloadBody) {
	replicas, ok := b.replicas(o, "spec.replicas", body.Spec.Replicas)
	if !ok {
		return
	}
	names := replicaNames(o.Name, replicas)
	if o.Kind == "StatefulSet" {
		names = ordinalNames(o.Name, int(body.Spec.Ordinals.Start), replicas)
	}
	b.addReplicas(o, "spec.template", &body.Spec.Template, names)
}

func (j *jobBody) ended() bool {
	for _, c := range j.Status.Conditions {
		if (c.Type == "Complete" || c.Type == "Failed") && c.Status == "True" {
			return true
		}
	}
	return false
}

// expandJob makes the pods that run at the same time.
func (b *builder) expandJob(o *object, path string, spec *jobSpec) {
	parallel, ok := b.replicas(o, path+".parallelism", spec.Parallelism)
	if spec.Completions != nil {
		parallel = min(parallel, max(0, int(*spec.Completions)))
	}
	if ok && !spec.Suspend {
		b.addReplicas(o, path+".template", &spec.Template, replicaNames(o.Name, parallel))
	}
}

func (b *builder) replicas(o *object, path string, n *int32) (int, bool) {
	switch {
	case n == nil:
		return 1, true
	case *n < 0:
		b.failAt(o, path, "Invalid value: %d: must be 0 or more", *n)
		return 0, false
	case len(b.seats)+int(*n) > MaxPods:
		b.failAt(o, path, "Invalid value: %d: the cluster would have more than %d pods", *n, MaxPods)
		return 0, false
	}
	return int(*n), true
}

// replicaNames: a single pod has its workload's own name, so that people can
// write it.
func replicaNames(name string, n int) []string {
	if n == 1 {
		return []string{name}
	}
	return ordinalNames(name, 0, n)
}

func ordinalNames(name string, start, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = name + "-" + strconv.Itoa(start+i)
	}
	return names
}

func (b *builder) addReplicas(o *object, path string, t *podTemplate, names []string) {
	b.checkTemplate(o, path, t)
	model := b.newSeat(o, path+".spec", &t.Metadata, &t.Spec)
	model.pod.Workload = b.workloadOf(o)
	if model.pod.Workload == "" {
		model.pod.Workload = o.Kind + "/" + o.Name
	}
	names, ok := b.freeNames(o, names)
	if !ok {
		return
	}
	for i, name := range names {
		s, pod := *model, *model.pod
		pod.Name = cluster.Name{Namespace: o.Namespace, Name: name}
		pod.Labels = controllerLabels(o, name, pod.Labels)
		s.pod, s.replica = &pod, i
		b.seat(&s)
	}
}

// freeNames puts the kind into the pods' names where another workload of the
// same name has taken one; a real cluster's random names do not collide.
func (b *builder) freeNames(o *object, names []string) ([]string, bool) {
	if b.taken(o.Namespace, names) == nil {
		return names, true
	}
	renamed := make([]string, len(names))
	for i, name := range names {
		renamed[i] = o.Name + "-" + strings.ToLower(o.Kind) + strings.TrimPrefix(name, o.Name)
	}
	if other := b.taken(o.Namespace, renamed); other != nil {
		b.failAt(o, "metadata.name", "its pods would have the names of those of %s: rename one", other.from)
		return nil, false
	}
	return renamed, true
}

func (b *builder) taken(namespace string, names []string) *seat {
	for _, name := range names {
		if s := b.byName[cluster.Name{Namespace: namespace, Name: name}]; s != nil {
			return s
		}
	}
	return nil
}

// controllerLabels adds the labels that controllers give their pods and that
// can be known; policies select by them.
func controllerLabels(o *object, pod string, labels map[string]string) map[string]string {
	var added map[string]string
	switch o.Kind {
	case "StatefulSet":
		ordinal := pod[strings.LastIndexByte(pod, '-')+1:]
		added = map[string]string{"statefulset.kubernetes.io/pod-name": pod, "apps.kubernetes.io/pod-index": ordinal}
	case "Job":
		added = map[string]string{"batch.kubernetes.io/job-name": o.Name, "job-name": o.Name}
	default:
		return labels
	}
	maps.Copy(added, labels)
	return added
}

// addDaemonPods makes one pod of each DaemonSet for each node that it selects.
func (b *builder) addDaemonPods() {
	owned := b.owned()
	for _, o := range b.of("DaemonSet") {
		if !owned[o.key()] {
			b.expandDaemonSet(o, &o.body.(*workloadBody).Spec.Template)
		}
	}
}

func (b *builder) expandDaemonSet(o *object, t *podTemplate) {
	var names []string
	var nodes []string
	for _, node := range b.nodes {
		if t.Spec.fits(node) {
			nodes = append(nodes, node.Name)
			names = append(names, o.Name+"-"+node.Name)
		}
	}
	if len(b.seats)+len(names) > MaxPods {
		b.failAt(o, "", "the cluster would have more than %d pods", MaxPods)
		return
	}
	before := len(b.seats)
	b.addReplicas(o, "spec.template", t, names)
	for i, s := range b.seats[before:] {
		s.pod.Node = nodes[i]
	}
}

// fits tells whether a pod may run on the node.
func (s *podSpec) fits(node *cluster.Node) bool {
	if s.NodeName != "" && s.NodeName != node.Name {
		return false
	}
	for name, value := range s.NodeSelector {
		if has, ok := node.Labels[name]; !ok || has != value {
			return false
		}
	}
	return true
}

func (s *podSpec) describeSelector() string {
	var terms []string
	for _, name := range sortedKeys(s.NodeSelector) {
		terms = append(terms, fmt.Sprintf("%s=%s", name, s.NodeSelector[name]))
	}
	return strings.Join(terms, ",")
}
