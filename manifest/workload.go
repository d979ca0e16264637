package manifest

import (
	"cmp"
	"maps"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// MaxPods is how many pods a cluster may have, as many as Kubernetes supports.
const MaxPods = 150_000

// expand makes a workload's pods.
func (b *builder) expand(o *object) {
	switch body := o.body.(type) {
	case *appsv1.Deployment:
		b.expandReplicas(o, body.Spec.Replicas, &body.Spec.Template)
	case *appsv1.ReplicaSet:
		b.expandReplicas(o, body.Spec.Replicas, &body.Spec.Template)
	case *appsv1.StatefulSet:
		b.expandStatefulSet(o, &body.Spec)
	case *appsv1.DaemonSet:
		b.daemons = append(b.daemons, b.readTemplate(o, "spec.template", &body.Spec.Template))
	case *batchv1.Job:
		b.expandJob(o, "spec", &body.Spec, ended(body))
	case *batchv1.CronJob:
		suspended := body.Spec.Suspend != nil && *body.Spec.Suspend
		b.expandJob(o, "spec.jobTemplate.spec", &body.Spec.JobTemplate.Spec, suspended)
	}
}

func (b *builder) expandReplicas(o *object, replicas *int32, t *corev1.PodTemplateSpec) {
	model := b.readTemplate(o, "spec.template", t)
	b.addReplicas(model, replicaNames(o.Name, b.count(o, "spec.replicas", replicas)))
}

func (b *builder) expandStatefulSet(o *object, spec *appsv1.StatefulSetSpec) {
	model := b.readTemplate(o, "spec.template", &spec.Template)
	start := 0
	if spec.Ordinals != nil {
		start = int(spec.Ordinals.Start)
	}
	b.addReplicas(model, ordinalNames(o.Name, start, b.count(o, "spec.replicas", spec.Replicas)))
}

func ended(job *batchv1.Job) bool {
	for _, c := range job.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

// expandJob makes the pods that run at the same time. A CronJob's are those of
// one run: its policies matter while it runs.
func (b *builder) expandJob(o *object, path string, spec *batchv1.JobSpec, idle bool) {
	model := b.readTemplate(o, path+".template", &spec.Template)
	parallel := b.count(o, path+".parallelism", spec.Parallelism)
	if c := spec.Completions; c != nil && *c < 0 {
		b.failAt(o, path+".completions", "Invalid value: %d: must be 0 or more", *c)
	} else if c != nil {
		parallel = min(parallel, int(*c))
	}
	if !idle && (spec.Suspend == nil || !*spec.Suspend) {
		b.addReplicas(model, replicaNames(o.Name, parallel))
	}
}

// count is how many pods a field asks for, 1 if it is absent.
func (b *builder) count(o *object, path string, n *int32) int {
	switch {
	case n == nil:
		return 1
	case *n < 0:
		b.failAt(o, path, "Invalid value: %d: must be 0 or more", *n)
		return 0
	case !b.room(o, path, int(*n)):
		return 0
	}
	return int(*n)
}

// room tells whether the cluster can have so many more pods.
func (b *builder) room(o *object, path string, n int) bool {
	limit := cmp.Or(b.opts.maxPods, MaxPods)
	if len(b.seats)+n > limit {
		b.failAt(o, path, "Invalid value: %d: the cluster would have more than %d pods", n, limit)
		return false
	}
	return true
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

// addReplicas adds a pod like the model for each name.
func (b *builder) addReplicas(model *seat, names []string) []*seat {
	o := model.from
	names, ok := b.freeNames(o, names)
	if !ok {
		return nil
	}
	added := make([]*seat, len(names))
	for i, name := range names {
		s, pod := *model, *model.pod
		pod.Name = cluster.Name{Namespace: o.Namespace, Name: name}
		pod.Labels = controllerLabels(o, name, pod.Labels)
		s.pod, s.replica, added[i] = &pod, i, &s
		b.seat(&s)
	}
	return added
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
		added = map[string]string{appsv1.StatefulSetPodNameLabel: pod, appsv1.PodIndexLabel: ordinal}
	case "Job":
		added = map[string]string{batchv1.JobNameLabel: o.Name, "job-name": o.Name} // the latter from before 1.27
	default:
		return labels
	}
	all := maps.Clone(labels)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, added)
	return all
}

// addDaemonPods makes one pod of each DaemonSet for each node that it selects.
func (b *builder) addDaemonPods() {
	for _, model := range b.daemons {
		var names []string
		var nodes []string
		for _, node := range b.nodes {
			if fits(model.spec, node) {
				nodes = append(nodes, node.Name)
				names = append(names, model.from.Name+"-"+node.Name)
			}
		}
		if !b.room(model.from, "spec.template", len(names)) {
			return
		}
		for i, s := range b.addReplicas(model, names) {
			s.pod.Node = nodes[i]
		}
	}
}
