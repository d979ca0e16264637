package manifest

import (
	corev1 "k8s.io/api/core/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// checkSpec makes checks of the API server that objects from a cluster have
// passed and manifests have not: on the names of ports and on selectors.
func checkSpec(spec *corev1.PodSpec) field.ErrorList {
	errs := metav1validation.ValidateLabels(spec.NodeSelector, field.NewPath("spec", "nodeSelector"))
	for i := range spec.InitContainers {
		errs = append(errs, checkPortNames(spec.InitContainers[i].Ports, field.NewPath("spec", "initContainers").Index(i))...)
	}
	for i := range spec.Containers {
		errs = append(errs, checkPortNames(spec.Containers[i].Ports, field.NewPath("spec", "containers").Index(i))...)
	}
	return errs
}

func checkPortNames(ports []corev1.ContainerPort, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, p := range ports {
		if p.Name == "" {
			continue
		}
		at := path.Child("ports").Index(i).Child("name")
		for _, message := range validation.IsValidPortName(p.Name) {
			errs = append(errs, field.Invalid(at, p.Name, message))
		}
		if seen[p.Name] {
			errs = append(errs, field.Duplicate(at, p.Name))
		}
		seen[p.Name] = true
	}
	return errs
}
