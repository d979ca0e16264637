package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// Resource is a resource of an API server, or the part of it that a field
// selector leaves.
type Resource struct {
	Kind   string
	client rest.Interface
	name   string // in the URL
	fields fields.Selector
	// newList makes a list of a resource that is built into the API server and
	// travels as protobuf; nil: it travels as JSON.
	newList func() runtime.Object
	// trim, if not nil, are the fields that are decoded of a stream's objects.
	trim kept
	// path is where a resource is that travels as JSON, and accept the media type
	// that is asked for; acceptList, if not empty, of its lists.
	path, accept, acceptList string
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
		trim:    podFields,
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

// Nodes are all nodes.
func (c *Client) Nodes() Resource {
	return Resource{
		Kind: "Node", client: c.core, name: "nodes", fields: fields.Everything(),
		newList: func() runtime.Object { return &corev1.NodeList{} },
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

// Services are all services.
func (c *Client) Services() Resource {
	return Resource{
		Kind: "Service", client: c.core, name: "services", fields: fields.Everything(),
		newList: func() runtime.Object { return &corev1.ServiceList{} },
	}
}

// EndpointSlices are all parts of where services lead.
func (c *Client) EndpointSlices() Resource {
	return Resource{
		Kind: "EndpointSlice", client: c.discovery, name: "endpointslices", fields: fields.Everything(),
		newList: func() runtime.Object { return &discoveryv1.EndpointSliceList{} },
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

// list reads a page and hands on its objects.
func (r Resource) list(ctx context.Context, next string, each func(metav1.Object)) (metav1.ListInterface, error) {
	options := &metav1.ListOptions{FieldSelector: r.fields.String(), Limit: page, Continue: next}
	if r.newList == nil {
		return r.listJSON(ctx, options, each)
	}
	list := r.newList()
	if err := r.request(options).Do(ctx).Into(list); err != nil {
		return nil, err
	}
	err := meta.EachListItem(list, func(object runtime.Object) error {
		m, err := meta.Accessor(object)
		if err == nil {
			each(m)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return meta.ListAccessor(list)
}

func (r Resource) request(options *metav1.ListOptions) *rest.Request {
	request := r.client.Get()
	if r.newList == nil {
		request = request.AbsPath(r.path).SetHeader("Accept", r.accept)
	} else {
		request = request.Resource(r.name)
	}
	return request.VersionedParams(options, parameters)
}
