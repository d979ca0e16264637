package calico

import (
	"encoding/json"
	"maps"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// metadataAnnotation holds the metadata that an object was written with.
const metadataAnnotation = "projectcalico.org/metadata"

// storedPrefix is before the stored names of policies of the default tier.
const storedPrefix = "default."

// Restore gives an object that was read as crd.projectcalico.org/v1 the name and
// labels by which projectcalico.org/v3 knows it. Calico keeps them in an
// annotation; objects that were never written through it have no such annotation.
func Restore(object metav1.Object) *field.Error {
	text, ok := object.GetAnnotations()[metadataAnnotation]
	if !ok {
		restoreName(object)
		return nil
	}
	var written struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	}
	if err := json.Unmarshal([]byte(text), &written); err != nil {
		path := field.NewPath("metadata", "annotations").Key(metadataAnnotation)
		return field.Invalid(path, text, "must be the JSON that Calico keeps there: remove the annotation")
	}
	if len(written.Labels) > 0 {
		labels := maps.Clone(object.GetLabels())
		if labels == nil {
			labels = map[string]string{}
		}
		maps.Copy(labels, written.Labels)
		object.SetLabels(labels)
	}
	if written.Name != "" {
		object.SetName(written.Name)
	} else {
		restoreName(object)
	}
	return nil
}

// restoreName takes the prefix away that releases before 3.30 gave all policies of
// the default tier.
func restoreName(object metav1.Object) {
	if tier, ok := tierOf(object); ok && TierName(tier) == TierName("") {
		object.SetName(strings.TrimPrefix(object.GetName(), storedPrefix))
	}
}

// tierOf is the tier that a policy names; ok is false for what is in none.
func tierOf(object metav1.Object) (tier string, ok bool) {
	switch o := object.(type) {
	case *NetworkPolicy:
		return o.Spec.Tier, true
	case *GlobalNetworkPolicy:
		return o.Spec.Tier, true
	case *StagedNetworkPolicy:
		return o.Spec.Tier, true
	case *StagedGlobalNetworkPolicy:
		return o.Spec.Tier, true
	}
	return "", false
}
