package manifest

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/k8s"
)

// seat is a pod on its way to a node and to addresses.
type seat struct {
	pod     *cluster.Pod
	from    *object
	path    string // of the pod's spec in the object
	spec    *corev1.PodSpec
	replica int          // its number among the pods of its workload
	hostIPs []netip.Addr // of the node, as the pod's status has them
}

// addPods adds the pods that the input declares and those of its workloads,
// but for DaemonSets, which need the nodes first.
func (b *builder) addPods() {
	for _, o := range b.of("Pod") {
		b.addPod(o)
	}
	owned := b.owned()
	for _, kind := range []string{"StatefulSet", "Deployment", "ReplicaSet", "Job", "CronJob", "DaemonSet"} {
		for _, o := range b.of(kind) {
			if !owned[o.key()] {
				b.expand(o)
			}
		}
	}
}

// addPod adds a declared pod, if it is there for the network: one that has ended
// gave its address back, and one that a real cluster has not placed yet has
// none.
func (b *builder) addPod(o *object) {
	object := o.body.(*corev1.Pod)
	if k8s.Finished(object) || object.Status.Phase == corev1.PodPending && object.Spec.NodeName == "" {
		return
	}
	s := &seat{from: o, path: "spec", spec: &object.Spec, pod: b.readPod(o, "", object)}
	if owner := b.workloadOf(o); owner != "" {
		s.pod.Workload = owner
	}
	s.hostIPs = b.hostIPs(o, &object.Status)
	b.seat(s)
}

func (b *builder) seat(s *seat) {
	if s.pod.HostNetwork {
		s.pod.Addrs = nil // its node's, which are not known yet
	}
	b.seats = append(b.seats, s)
	b.byName[s.pod.Name] = s
	b.bundle.Snapshot.Pods[s.pod.Name] = s.pod
}

// readPod reads a pod that stands in an object at a path.
func (b *builder) readPod(o *object, prefix string, object *corev1.Pod) *cluster.Pod {
	pod, errs := k8s.Pod(object)
	errs = append(errs, checkSpec(&object.Spec)...)
	b.failFields(o, prefix, errs)
	pod.Node = "" // is the scheduler's to check
	return pod
}

// readTemplate is the pod that a workload has at a path, without a name.
func (b *builder) readTemplate(o *object, path string, t *corev1.PodTemplateSpec) *seat {
	errs := metav1validation.ValidateLabels(t.Labels, field.NewPath("metadata", "labels"))
	b.failFields(o, path+".", errs)
	pod := b.readPod(o, path+".", &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Labels: t.Labels},
		Spec:       t.Spec,
	})
	pod.Workload = b.workloadOf(o)
	if pod.Workload == "" {
		pod.Workload = o.Kind + "/" + o.Name
	}
	return &seat{from: o, path: path + ".spec", spec: &t.Spec, pod: pod}
}

// hostIPs are the node's addresses that a pod's status has.
func (b *builder) hostIPs(o *object, status *corev1.PodStatus) []netip.Addr {
	// The same fields as the pod's own addresses, so the same reader.
	asPod := &corev1.Pod{Status: corev1.PodStatus{PodIP: status.HostIP}}
	for _, ip := range status.HostIPs {
		asPod.Status.PodIPs = append(asPod.Status.PodIPs, corev1.PodIP(ip))
	}
	read, errs := k8s.Pod(asPod)
	for range errs {
		b.failAt(o, "status.hostIP", "must be an IP address, for example 10.9.8.7 or 2001:db8::7")
		break
	}
	return read.Addrs
}
