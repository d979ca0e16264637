package manifest

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/manifest/document"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// kind is a kind of object that is needed.
type kind struct {
	typeMeta
	clusterWide bool
	// name validates a name; nil: who reads the body validates its metadata.
	name validation.ValidateNameFunc
	// decode fills the kind's API type.
	decode func(*document.Node) (metav1.Object, []document.Problem)
	// empty makes a value of the API type of a policy.
	empty func() metav1.Object
	// restored makes an object what people know, from how it is stored; nil: it is
	// stored as people know it.
	restored func(metav1.Object) *field.Error
	// policy reads a policy into the set, and says what of it is not enforced;
	// nil for what makes up the cluster.
	policy func(*policy.Set, metav1.Object, policy.Source) ([]policy.Gap, field.ErrorList)
	// known is the API version by which people know the objects; empty: its own.
	known string
}

// Of each kind only what network policy needs is decoded, so that dumps of
// clusters of any version load.
var (
	metaFields = []string{"metadata.name", "metadata.namespace", "metadata.labels",
		"metadata.ownerReferences.apiVersion", "metadata.ownerReferences.kind", "metadata.ownerReferences.name", "metadata.ownerReferences.controller"}

	specFields = []string{
		"nodeName", "nodeSelector", "hostNetwork", "serviceAccountName",
		"containers.ports", "initContainers.ports", "initContainers.restartPolicy",
	}
	nodeFields = fields("spec.podCIDR", "spec.podCIDRs", "status.addresses")
	podFields  = fields(append(below("spec.", specFields),
		"status.phase", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs")...)
	serviceFields = fields("spec.type", "spec.clusterIP", "spec.clusterIPs", "spec.ipFamilies", "spec.ipFamilyPolicy",
		"spec.selector", "spec.ports", "spec.allocateLoadBalancerNodePorts")
	endpointFields = fields("addressType", "endpoints.addresses", "ports.port", "ports.protocol")
	workloadFields = fields(append(templateFields("spec."), "spec.replicas", "spec.ordinals")...)
	jobFields      = fields(append(templateFields("spec."), "spec.parallelism", "spec.completions", "spec.suspend", "status.conditions")...)
	cronJobFields  = fields(append(templateFields("spec.jobTemplate.spec."), "spec.suspend",
		"spec.jobTemplate.spec.parallelism", "spec.jobTemplate.spec.completions")...)
)

func fields(paths ...string) document.Fields {
	return document.FieldsOf(append(paths, metaFields...)...)
}

func below(prefix string, names []string) []string {
	var paths []string
	for _, name := range names {
		paths = append(paths, prefix+name)
	}
	return paths
}

func templateFields(prefix string) []string {
	return append(below(prefix+"template.spec.", specFields), prefix+"template.metadata.labels")
}

var kinds = append(policyKinds, []*kind{
	clusterKind("v1", "Namespace", true, validation.ValidateNamespaceName, decode[corev1.Namespace](fields())),
	clusterKind("v1", "ServiceAccount", false, validation.NameIsDNSSubdomain, decode[corev1.ServiceAccount](fields())),
	clusterKind("v1", "Node", true, validation.NameIsDNSSubdomain, decode[corev1.Node](nodeFields)),
	clusterKind("v1", "Pod", false, validation.NameIsDNSSubdomain, decode[corev1.Pod](podFields)),
	clusterKind("v1", "Service", false, validation.NameIsDNSLabel, decode[corev1.Service](serviceFields)),
	clusterKind("v1", "ConfigMap", false, validation.NameIsDNSSubdomain, decode[corev1.ConfigMap](document.FieldsOf("metadata.name", "metadata.namespace", "data"))),
	clusterKind("discovery.k8s.io/v1", "EndpointSlice", false, validation.NameIsDNSSubdomain, decode[discoveryv1.EndpointSlice](endpointFields)),
	clusterKind("apps/v1", "Deployment", false, validation.NameIsDNSSubdomain, decode[appsv1.Deployment](workloadFields)),
	clusterKind("apps/v1", "ReplicaSet", false, validation.NameIsDNSSubdomain, decode[appsv1.ReplicaSet](workloadFields)),
	clusterKind("apps/v1", "StatefulSet", false, validation.NameIsDNSSubdomain, decode[appsv1.StatefulSet](workloadFields)),
	clusterKind("apps/v1", "DaemonSet", false, validation.NameIsDNSSubdomain, decode[appsv1.DaemonSet](workloadFields)),
	clusterKind("batch/v1", "Job", false, validation.NameIsDNSSubdomain, decode[batchv1.Job](jobFields)),
	clusterKind("batch/v1", "CronJob", false, validation.NameIsDNSSubdomain, decode[batchv1.CronJob](cronJobFields)),
}...)

// clusterKind is a kind of object that makes up the cluster.
func clusterKind(
	apiVersion, name string, clusterWide bool, valid validation.ValidateNameFunc, decode func(*document.Node) (metav1.Object, []document.Problem),
) *kind {
	return &kind{typeMeta: typeMeta{apiVersion, name}, clusterWide: clusterWide, name: valid, decode: decode}
}

// kindOf is nil without a message for a kind that is not needed. The message
// says what is wrong with one that was meant to be, and with which field.
func kindOf(meta typeMeta) (found *kind, path, message string) {
	if i := slices.IndexFunc(kinds, func(k *kind) bool { return k.typeMeta == meta }); i >= 0 {
		return kinds[i], "", ""
	}
	group := groupOf(meta.APIVersion)
	if path, message = misspelt(meta, func(k *kind) bool { return groupOf(k.APIVersion) == group }); message != "" {
		return nil, path, message
	}
	if strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io") {
		return nil, "", "" // kinds of other APIs may have the same names
	}
	path, message = misspelt(meta, func(*kind) bool { return true })
	return nil, path, message
}

// misspelt is what is wrong with a kind that was meant to be one of some.
func misspelt(meta typeMeta, among func(*kind) bool) (path, message string) {
	for _, k := range kinds {
		switch {
		case !among(k):
		case k.Kind == meta.Kind:
			return "apiVersion", fmt.Sprintf("%s has no %s: use %s", meta.APIVersion, meta.Kind, k.APIVersion)
		case k.APIVersion == meta.APIVersion && looksLike(meta.Kind, k.Kind):
			return "kind", fmt.Sprintf("%s has no %s: did you mean %s?", meta.APIVersion, meta.Kind, k.Kind)
		}
	}
	return "", ""
}

// looksLike: short kinds are only compared without case, for the API has others
// a few letters away.
func looksLike(written, kind string) bool {
	if strings.EqualFold(written, kind) {
		return true
	}
	return len(kind) > 4 && document.Nearest(written, []string{kind}) != ""
}

// isKustomization: the one file of that name that may leave out its kind.
func isKustomization(file string) bool {
	base := filepath.Base(file)
	return base == "kustomization.yaml" || base == "kustomization.yml"
}

type apiObject[T any] interface {
	*T
	metav1.Object
}

func decode[T any, O apiObject[T]](fields document.Fields) func(*document.Node) (metav1.Object, []document.Problem) {
	return func(n *document.Node) (metav1.Object, []document.Problem) {
		object := new(T)
		problems := document.DecodeFields(n, object, fields)
		return O(object), problems
	}
}

// checkMeta validates what is used of an object's metadata.
func (k *kind) checkMeta(object metav1.Object) field.ErrorList {
	if k.name == nil {
		return nil
	}
	path := field.NewPath("metadata")
	var errs field.ErrorList
	check := func(name, value string, valid validation.ValidateNameFunc) {
		for _, message := range valid(value, false) {
			errs = append(errs, field.Invalid(path.Child(name), value, message))
		}
	}
	if object.GetName() == "" {
		errs = append(errs, field.Required(path.Child("name"), "give the object a name"))
	} else {
		check("name", object.GetName(), k.name)
	}
	if object.GetNamespace() != "" {
		check("namespace", object.GetNamespace(), validation.ValidateNamespaceName)
	}
	return append(errs, metav1validation.ValidateLabels(object.GetLabels(), path.Child("labels"))...)
}
