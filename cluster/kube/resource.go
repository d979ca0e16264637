package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// Resource is a resource of an API server, or the part of it that a field
// selector leaves.
type Resource struct {
	Kind    string
	client  rest.Interface
	name    string // in the URL
	fields  fields.Selector
	newList func() runtime.Object
}

// Pods are all pods that have not finished. A pod that finishes is reported as
// deleted: its address may go to another pod at once.
func (c *Client) Pods() Resource {
	return Resource{
		Kind: "Pod", client: c.core, name: "pods",
		fields: fields.AndSelectors(
			fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
			fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)),
		),
		newList: func() runtime.Object { return &corev1.PodList{} },
	}
}

// Namespaces are all namespaces.
func (c *Client) Namespaces() Resource {
	return Resource{
		Kind: "Namespace", client: c.core, name: "namespaces", fields: fields.Everything(),
		newList: func() runtime.Object { return &corev1.NamespaceList{} },
	}
}

// ServiceAccounts are all service accounts.
func (c *Client) ServiceAccounts() Resource {
	return Resource{
		Kind: "ServiceAccount", client: c.core, name: "serviceaccounts", fields: fields.Everything(),
		newList: func() runtime.Object { return &corev1.ServiceAccountList{} },
	}
}

// Node is the one node of that name: in a large cluster the heartbeats of the
// others would be most of what an agent reads.
func (c *Client) Node(name string) Resource {
	return Resource{
		Kind: "Node", client: c.core, name: "nodes", fields: fields.OneTermEqualSelector("metadata.name", name),
		newList: func() runtime.Object { return &corev1.NodeList{} },
	}
}

// NetworkPolicies are all NetworkPolicy objects.
func (c *Client) NetworkPolicies() Resource {
	return Resource{
		Kind: "NetworkPolicy", client: c.networking, name: "networkpolicies", fields: fields.Everything(),
		newList: func() runtime.Object { return &networkingv1.NetworkPolicyList{} },
	}
}

// page is how many objects a list asks for at a time where the server cannot
// stream them.
const page = 500

func (r Resource) list(ctx context.Context, next string) (runtime.Object, error) {
	list := r.newList()
	options := metav1.ListOptions{FieldSelector: r.fields.String(), Limit: page, Continue: next}
	err := r.client.Get().Resource(r.name).VersionedParams(&options, parameters).Do(ctx).Into(list)
	return list, err
}
