package kube

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// DaemonSets are the names of all DaemonSets.
func (c *Client) DaemonSets(ctx context.Context) ([]cluster.Name, error) {
	var list appsv1.DaemonSetList
	if err := c.apps.Get().Resource("daemonsets").Do(ctx).Into(&list); err != nil {
		return nil, fmt.Errorf("list daemonsets: %w", err)
	}
	names := make([]cluster.Name, 0, len(list.Items))
	for i := range list.Items {
		names = append(names, cluster.Name{Namespace: list.Items[i].Namespace, Name: list.Items[i].Name})
	}
	return names, nil
}

// CreateNamespace makes a namespace, with a random end to its name.
func (c *Client) CreateNamespace(ctx context.Context, prefix string) (name string, err error) {
	var made corev1.Namespace
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix}}
	if err := c.core.Post().Resource("namespaces").Body(object).Do(ctx).Into(&made); err != nil {
		return "", fmt.Errorf("create namespace: %w", err)
	}
	return made.Name, nil
}

// DeleteNamespace removes a namespace and all that is in it. It does not wait.
func (c *Client) DeleteNamespace(ctx context.Context, name string) error {
	if err := c.core.Delete().Resource("namespaces").Name(name).Do(ctx).Error(); err != nil {
		return fmt.Errorf("delete namespace %s: %w", name, err)
	}
	return nil
}

// CreatePod makes a pod.
func (c *Client) CreatePod(ctx context.Context, pod *corev1.Pod) error {
	return create(ctx, c.core, "pods", pod.Namespace, pod.Name, pod)
}

// CreateNetworkPolicy makes a NetworkPolicy.
func (c *Client) CreateNetworkPolicy(ctx context.Context, p *networkingv1.NetworkPolicy) error {
	return create(ctx, c.networking, "networkpolicies", p.Namespace, p.Name, p)
}

func create(ctx context.Context, client rest.Interface, resource, namespace, name string, object any) error {
	if err := client.Post().Resource(resource).Namespace(namespace).Body(object).Do(ctx).Error(); err != nil {
		return fmt.Errorf("create %s %s/%s: %w", resource, namespace, name, err)
	}
	return nil
}

// Pod reads a pod.
func (c *Client) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	var pod corev1.Pod
	if err := c.core.Get().Resource("pods").Namespace(namespace).Name(name).Do(ctx).Into(&pod); err != nil {
		return nil, fmt.Errorf("read pod %s/%s: %w", namespace, name, err)
	}
	return &pod, nil
}

// ReadyNodes are the names of the nodes that take pods.
func (c *Client) ReadyNodes(ctx context.Context) ([]string, error) {
	var list corev1.NodeList
	if err := c.core.Get().Resource("nodes").Do(ctx).Into(&list); err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	var names []string
	for i := range list.Items {
		if takesPods(&list.Items[i]) {
			names = append(names, list.Items[i].Name)
		}
	}
	return names, nil
}

func takesPods(n *corev1.Node) bool {
	for _, t := range n.Spec.Taints {
		if t.Effect != corev1.TaintEffectPreferNoSchedule {
			return false
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue && !n.Spec.Unschedulable
		}
	}
	return false
}

// DefinitionLabels are the labels of all CustomResourceDefinitions, by name.
func (c *Client) DefinitionLabels(ctx context.Context) (map[string]map[string]string, error) {
	labels := map[string]map[string]string{}
	for next := ""; ; {
		page, err := c.definitions().list(ctx, next, func(object metav1.Object) { labels[object.GetName()] = object.GetLabels() })
		if err != nil {
			return nil, fmt.Errorf("list definitions: %w", err)
		}
		if next = page.GetContinue(); next == "" {
			return labels, nil
		}
	}
}
