package manifest

import (
	"fmt"
	"path/filepath"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/manifest/document"
)

// kind is a kind of object that is needed.
type kind struct {
	typeMeta
	clusterWide bool
	// name validates a name; nil: who reads the body validates its metadata.
	name func(string) []string
	// decode fills the kind's own type.
	decode func(*document.Node) (body any, meta *objectMeta, problems []document.Problem)
}

var kinds = []*kind{
	{typeMeta{"v1", "Namespace"}, true, utilvalidation.IsDNS1123Label, decode[namespaceBody]},
	{typeMeta{"v1", "Node"}, true, utilvalidation.IsDNS1123Subdomain, decode[nodeBody]},
	{typeMeta{"v1", "Pod"}, false, utilvalidation.IsDNS1123Subdomain, decode[podBody]},
	{typeMeta{"v1", "Service"}, false, utilvalidation.IsDNS1123Label, decode[serviceBody]},
	{typeMeta{"apps/v1", "Deployment"}, false, utilvalidation.IsDNS1123Subdomain, decode[workloadBody]},
	{typeMeta{"apps/v1", "ReplicaSet"}, false, utilvalidation.IsDNS1123Subdomain, decode[workloadBody]},
	{typeMeta{"apps/v1", "StatefulSet"}, false, utilvalidation.IsDNS1123Subdomain, decode[workloadBody]},
	{typeMeta{"apps/v1", "DaemonSet"}, false, utilvalidation.IsDNS1123Subdomain, decode[workloadBody]},
	{typeMeta{"batch/v1", "Job"}, false, utilvalidation.IsDNS1123Subdomain, decode[jobBody]},
	{typeMeta{"batch/v1", "CronJob"}, false, utilvalidation.IsDNS1123Subdomain, decode[cronJobBody]},
	{typeMeta{"networking.k8s.io/v1", "NetworkPolicy"}, false, nil, decodePolicy},
}

// kindOf is nil without a message for a kind that is not needed. The message
// says what is wrong with one that was meant to be.
func kindOf(meta typeMeta) (found *kind, message string) {
	group, _, _ := strings.Cut(meta.APIVersion, "/")
	if group == meta.APIVersion {
		group = ""
	}
	if strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io") {
		return nil, "" // kinds of other APIs may have the same names
	}
	for _, k := range kinds {
		switch {
		case k.typeMeta == meta:
			return k, ""
		case k.Kind == meta.Kind:
			return nil, fmt.Sprintf("apiVersion %s has no %s: use apiVersion: %s", meta.APIVersion, meta.Kind, k.APIVersion)
		case k.APIVersion == meta.APIVersion && looksLike(meta.Kind, k.Kind):
			return nil, fmt.Sprintf("apiVersion %s has no kind %s: did you mean %s?", meta.APIVersion, meta.Kind, k.Kind)
		}
	}
	return nil, ""
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

type body[T any] interface {
	*T
	meta() *objectMeta
}

func decode[T any, B body[T]](n *document.Node) (any, *objectMeta, []document.Problem) {
	b := B(new(T))
	problems := document.Decode(n, (*T)(b), document.Lenient)
	return b, b.meta(), problems
}

// decodePolicy is strict: a policy that says something else than its author
// meant is worse than none.
func decodePolicy(n *document.Node) (any, *objectMeta, []document.Problem) {
	p := &networkingv1.NetworkPolicy{}
	problems := document.Decode(n.Without("status"), p, document.Strict) // written by Kubernetes 1.24 to 1.27
	return p, &objectMeta{Name: p.Name, Namespace: p.Namespace}, problems
}

// checkMeta validates what is used of an object's metadata.
func (k *kind) checkMeta(meta *objectMeta) field.ErrorList {
	if k.name == nil {
		return nil
	}
	path := field.NewPath("metadata")
	var errs field.ErrorList
	if meta.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), "give the object a name"))
	} else {
		for _, message := range k.name(meta.Name) {
			errs = append(errs, field.Invalid(path.Child("name"), meta.Name, message))
		}
	}
	if meta.Namespace != "" && !k.clusterWide {
		for _, message := range validation.ValidateNamespaceName(meta.Namespace, false) {
			errs = append(errs, field.Invalid(path.Child("namespace"), meta.Namespace, message))
		}
	}
	return append(errs, metav1validation.ValidateLabels(meta.Labels, path.Child("labels"))...)
}
