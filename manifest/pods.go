package manifest

import (
	"fmt"
	"net/netip"
	"slices"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// seat is a pod on its way to a node and to addresses.
type seat struct {
	pod     *cluster.Pod
	from    *object
	path    string // of the pod's spec in the object
	spec    *podSpec
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
	for _, kind := range []string{"StatefulSet", "Deployment", "ReplicaSet", "Job", "CronJob"} {
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
	body := o.body.(*podBody)
	switch phase := body.Status.Phase; {
	case phase == "Succeeded", phase == "Failed", phase == "Pending" && body.Spec.NodeName == "":
		return
	}
	s := b.newSeat(o, "spec", &body.Metadata, &body.Spec)
	s.pod.Name = cluster.Name{Namespace: o.Namespace, Name: o.Name}
	s.pod.Workload = b.workloadOf(o)
	if !s.pod.HostNetwork {
		s.pod.Addrs = b.statusIPs(o, "status.podIP", body.Status.PodIP, body.Status.PodIPs)
	}
	s.hostIPs = b.statusIPs(o, "status.hostIP", body.Status.HostIP, body.Status.HostIPs)
	b.seat(s)
}

func (b *builder) seat(s *seat) {
	b.seats = append(b.seats, s)
	b.byName[s.pod.Name] = s
	b.bundle.Snapshot.Pods[s.pod.Name] = s.pod
}

// newSeat reads what all pods of a template have in common.
func (b *builder) newSeat(o *object, path string, meta *objectMeta, spec *podSpec) *seat {
	account := spec.ServiceAccountName
	if account == "" {
		account = "default"
	}
	return &seat{from: o, path: path, spec: spec, pod: &cluster.Pod{
		Labels:         meta.Labels,
		ServiceAccount: account,
		HostNetwork:    spec.HostNetwork,
		Ports:          b.containerPorts(o, path, spec),
	}}
}

// checkTemplate validates the labels of a workload's pods.
func (b *builder) checkTemplate(o *object, path string, t *podTemplate) {
	at := field.NewPath(path).Child("metadata", "labels")
	b.failFields(o, metav1validation.ValidateLabels(t.Metadata.Labels, at))
}

// statusIPs are the addresses in a status: the plural field, or the singular one
// of older clusters.
func (b *builder) statusIPs(o *object, path, single string, plural []ip) []netip.Addr {
	if len(plural) == 0 {
		if single == "" {
			return nil
		}
		addr, ok := b.parseAddr(o, path, single)
		if !ok {
			return nil
		}
		return []netip.Addr{addr}
	}
	var addrs []netip.Addr
	for i, ip := range plural {
		if addr, ok := b.parseAddr(o, fmt.Sprintf("%ss[%d].ip", path, i), ip.IP); ok && !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

func (b *builder) parseAddr(o *object, path, value string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(value)
	if err != nil || addr.Zone() != "" || addr.IsUnspecified() || addr.Is4In6() {
		b.failAt(o, path, "%q is not an address: write it as 10.1.2.3 or fd00::1", value)
		return netip.Addr{}, false
	}
	return addr, true
}

// containerPorts are those of containers that run as long as the pod: restartable
// init containers are such.
func (b *builder) containerPorts(o *object, path string, spec *podSpec) []cluster.Port {
	var ports []cluster.Port
	for i, c := range spec.InitContainers {
		if c.RestartPolicy == "Always" {
			ports = append(ports, b.portsOf(o, fmt.Sprintf("%s.initContainers[%d]", path, i), &c)...)
		}
	}
	for i, c := range spec.Containers {
		ports = append(ports, b.portsOf(o, fmt.Sprintf("%s.containers[%d]", path, i), &c)...)
	}
	return ports
}

func (b *builder) portsOf(o *object, path string, c *container) []cluster.Port {
	var ports []cluster.Port
	names := map[string]bool{}
	for i, p := range c.Ports {
		at := fmt.Sprintf("%s.ports[%d]", path, i)
		protocol, ok := b.protocol(o, at+".protocol", p.Protocol)
		ok = b.portNumber(o, at+".containerPort", p.ContainerPort) && ok
		if p.Name != "" {
			for _, message := range validation.IsValidPortName(p.Name) {
				b.failAt(o, at+".name", "Invalid value: %q: %s", p.Name, message)
			}
			if names[p.Name] {
				b.failAt(o, at+".name", "Duplicate value: %q: port names are unique in a container, rename one", p.Name)
			}
			names[p.Name] = true
		}
		if ok {
			ports = append(ports, cluster.Port{Name: p.Name, Protocol: protocol, Number: uint16(p.ContainerPort)})
		}
	}
	return ports
}

func (b *builder) protocol(o *object, path, name string) (traffic.Protocol, bool) {
	switch name {
	case "", "TCP":
		return traffic.TCP, true
	case "UDP":
		return traffic.UDP, true
	case "SCTP":
		return traffic.SCTP, true
	}
	b.failAt(o, path, "Unsupported value: %q: supported values: \"SCTP\", \"TCP\", \"UDP\"", name)
	return traffic.AnyProtocol, false
}

func (b *builder) portNumber(o *object, path string, number int32) bool {
	ok := true
	for _, message := range validation.IsValidPortNum(int(number)) {
		b.failAt(o, path, "Invalid value: %d: %s", number, message)
		ok = false
	}
	return ok
}
