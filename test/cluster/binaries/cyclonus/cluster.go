package main

import (
	"fmt"

	"github.com/mattfenwick/cyclonus/pkg/kube"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// A cluster is the one of KUBECONFIG, as cyclonus sees it.
type cluster struct{ *kube.Kubernetes }

func connect() (*cluster, error) {
	rules, overrides := clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	// Unset, client-go holds requests back to five a second: six seconds a case.
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return &cluster{&kube.Kubernetes{ClientSet: client, RestConfig: config}}, nil
}

// ExecuteRemoteCommand runs a command in a container. The batches that cyclonus
// has its own worker image for are done by the agnhost of the test cluster, in the
// same form; unlike that worker it tries nothing twice.
func (c *cluster) ExecuteRemoteCommand(namespace, pod, container string, command []string) (string, string, error, error) {
	if command[0] == "/worker" {
		command = append([]string{"/agnhost", "connect-all", "--timeout=3s"}, command[1:]...)
	}
	return c.Kubernetes.ExecuteRemoteCommand(namespace, pod, container, command)
}
