package k8s

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// ports are those of the containers that run for the pod's whole life: an init
// container that restarts always is a sidecar and counts, the others are gone
// before the pod serves.
func ports(spec *corev1.PodSpec, errs *field.ErrorList) []cluster.Port {
	var all []cluster.Port
	add := func(c *corev1.Container, path *field.Path) {
		for i, p := range c.Ports {
			at := path.Child("ports").Index(i)
			number, known := protocol(p.Protocol, at.Child("protocol"), errs)
			if validPort(p.ContainerPort, at.Child("containerPort"), errs) && known {
				all = append(all, cluster.Port{Name: p.Name, Protocol: number, Number: uint16(p.ContainerPort)})
			}
		}
	}
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(c, field.NewPath("spec", "initContainers").Index(i))
		}
	}
	for i := range spec.Containers {
		add(&spec.Containers[i], field.NewPath("spec", "containers").Index(i))
	}
	return all
}
