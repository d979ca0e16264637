// Package kube follows a Kubernetes API server: it lists and watches resources
// and hands on what changed, as the values of package cluster.
//
// A Feed follows any number of resources. Each has a Table which keeps one
// trimmed value per object and never the object itself, and gathers changes until
// they are taken: a consumer that is slow gets the last state of each object and
// none of the steps between, so nothing here grows with the rate of changes.
//
// A table is synced once it has seen a complete list. Objects that were deleted
// while nobody watched are reported as gone after the next complete list, never
// before, so that a consumer that does nothing until Synced and then follows the
// changes never takes an object for absent that exists. A lost API server is
// tried again for as long as the context lasts; until then the tables stand.
//
// It is the only package that imports k8s.io/client-go. A Feed may be used by
// several goroutines; a Table's values are shared and must not be changed.
package kube

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// scheme has only what is used: the one of client-go's typed clients registers
// every API group and costs several MiB.
var (
	scheme     = runtime.NewScheme()
	codecs     = serializer.NewCodecFactory(scheme)
	parameters = runtime.NewParameterCodec(scheme)
)

func init() {
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, networkingv1.AddToScheme, eventsv1.AddToScheme, appsv1.AddToScheme, discoveryv1.AddToScheme,
	} {
		utilruntime.Must(add(scheme))
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
}

// Client talks to one API server.
type Client struct {
	Host       string // the server's URL, for people
	core       rest.Interface
	networking rest.Interface
	events     rest.Interface
	apps       rest.Interface
	discovery  rest.Interface
	custom     rest.Interface // any group, in JSON: what definitions make has no protobuf
}

// Connect prepares a client from a kubeconfig file's current context, or, if
// the path is empty, from what Kubernetes gives to a pod. Nothing is sent yet.
// The user agent is the program's name and version.
func Connect(kubeconfig, userAgent string) (*Client, error) {
	config, err := load(kubeconfig)
	if err != nil {
		return nil, err
	}
	config.UserAgent = userAgent
	return newClient(config)
}

func load(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("read in-cluster configuration: %w: outside a pod, name a kubeconfig file", err)
		}
		return config, nil
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", kubeconfig, err)
	}
	return config, nil
}

func newClient(config *rest.Config) (*Client, error) {
	config = rest.CopyConfig(config)
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf
	config.NegotiatedSerializer = codecs.WithoutConversion()
	// Few requests live long. The server's priority and fairness is the limit
	// that knows how busy it is.
	config.QPS = -1
	c := &Client{Host: config.Host}
	for _, group := range []struct {
		version schema.GroupVersion
		client  *rest.Interface
	}{
		{corev1.SchemeGroupVersion, &c.core},
		{networkingv1.SchemeGroupVersion, &c.networking},
		{eventsv1.SchemeGroupVersion, &c.events},
		{appsv1.SchemeGroupVersion, &c.apps},
		{discoveryv1.SchemeGroupVersion, &c.discovery},
	} {
		client, err := groupClient(config, group.version)
		if err != nil {
			return nil, fmt.Errorf("prepare client for %s: %w", config.Host, err)
		}
		*group.client = client
	}
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	custom, err := groupClient(config, corev1.SchemeGroupVersion) // whose options all groups understand
	if err != nil {
		return nil, fmt.Errorf("prepare client for %s: %w", config.Host, err)
	}
	c.custom = custom
	return c, nil
}

func groupClient(config *rest.Config, version schema.GroupVersion) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.GroupVersion = &version
	config.APIPath = "/apis"
	if version.Group == "" {
		config.APIPath = "/api"
	}
	return rest.RESTClientFor(config)
}
