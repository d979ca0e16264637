package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// patience is how long anything awaited may take on the slowest machine.
const patience = 2 * time.Minute

// A fixture is a namespace of a cluster for one test.
type fixture struct {
	*testing.T
	c         *cluster.Cluster
	config    *rest.Config
	client    kubernetes.Interface
	namespace string
}

func newFixture(t *testing.T, c *cluster.Cluster) *fixture {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ns, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, c: c, config: config, client: client, namespace: ns.Name}
	t.Cleanup(func() {
		now := int64(0)
		if err := client.CoreV1().Pods(ns.Name).DeleteCollection(context.Background(), metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{}); err != nil {
			t.Error(err)
		}
		if err := client.CoreV1().Namespaces().Delete(context.Background(), ns.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	f.await("the default service account", func() (bool, error) {
		_, err := client.CoreV1().ServiceAccounts(ns.Name).Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil, err
	})
	return f
}

// await looks at something until it holds.
func (f *fixture) await(what string, holds func() (bool, error)) {
	f.Helper()
	deadline := time.Now().Add(patience)
	for {
		ok, err := holds()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			f.Fatalf("waited for %s in vain: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// shell is a container that runs a script.
func shell(name, script string) corev1.Container {
	return corev1.Container{Name: name, Image: "agnhost", Command: []string{"bash", "-c", script}}
}

// server is a pod that answers HTTP with its name on port 80.
func server(name string) *corev1.Pod {
	pod := podOf(name, corev1.Container{Name: "server", Image: "registry.example/agnhost:1",
		Args:           []string{"netexec", "--http-port=80"},
		ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(80)}}}})
	pod.Labels = map[string]string{"app": name}
	return pod
}

func podOf(name string, containers ...corev1.Container) *corev1.Pod {
	second := int64(1)
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: containers, TerminationGracePeriodSeconds: &second}}
}

// on binds a pod to a node.
func on(node string, pod *corev1.Pod) *corev1.Pod {
	pod.Spec.NodeSelector = map[string]string{corev1.LabelHostname: node}
	return pod
}

func (f *fixture) create(pod *corev1.Pod) *corev1.Pod {
	f.Helper()
	pod, err := f.client.CoreV1().Pods(f.namespace).Create(f.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		f.Fatal(err)
	}
	return pod
}

func (f *fixture) get(name string) *corev1.Pod {
	f.Helper()
	pod, err := f.client.CoreV1().Pods(f.namespace).Get(f.Context(), name, metav1.GetOptions{})
	if err != nil {
		f.Fatal(err)
	}
	return pod
}

// awaitPod waits until a pod is as wanted, and returns it.
func (f *fixture) awaitPod(name, what string, holds func(*corev1.Pod) bool) *corev1.Pod {
	f.Helper()
	var pod *corev1.Pod
	f.await(name+" to be "+what, func() (bool, error) {
		pod = f.get(name)
		return holds(pod), fmt.Errorf("its status is %+v", pod.Status)
	})
	return pod
}

func (f *fixture) ready(name string) *corev1.Pod {
	f.Helper()
	return f.awaitPod(name, "ready", isReady)
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func phase(want corev1.PodPhase) func(*corev1.Pod) bool {
	return func(pod *corev1.Pod) bool { return pod.Status.Phase == want }
}

// exec runs a command in a pod and returns what it wrote to both streams.
func (f *fixture) exec(pod, stdin string, argv ...string) (stdout, stderr string, err error) {
	f.Helper()
	options := &corev1.PodExecOptions{Command: argv, Stdin: stdin != "", Stdout: true, Stderr: true}
	request := f.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(f.namespace).Name(pod).SubResource("exec").VersionedParams(options, scheme.ParameterCodec)
	executor, err := remotecommand.NewSPDYExecutor(f.config, "POST", request.URL())
	if err != nil {
		f.Fatal(err)
	}
	var out, errs bytes.Buffer
	streams := remotecommand.StreamOptions{Stdout: &out, Stderr: &errs}
	if stdin != "" {
		streams.Stdin = strings.NewReader(stdin)
	}
	err = executor.StreamWithContext(f.Context(), streams)
	return out.String(), errs.String(), err
}

// run is exec of a command that must succeed, trimmed.
func (f *fixture) run(pod string, argv ...string) string {
	f.Helper()
	out, errs, err := f.exec(pod, "", argv...)
	if err != nil {
		f.Fatalf("%q in %s: %v: %s", argv, pod, err, errs)
	}
	return strings.TrimSpace(out)
}

// eventually is run of a command that may fail at first.
func (f *fixture) eventually(pod string, argv ...string) string {
	f.Helper()
	var out string
	f.await(fmt.Sprintf("%q to succeed in %s", argv, pod), func() (bool, error) {
		stdout, stderr, err := f.exec(pod, "", argv...)
		out = strings.TrimSpace(stdout)
		return err == nil, errors.Join(err, errors.New(stderr))
	})
	return out
}

// expose makes a service of both families for the pods with a label.
func (f *fixture) expose(name string) *corev1.Service {
	f.Helper()
	both := corev1.IPFamilyPolicyPreferDualStack
	service, err := f.client.CoreV1().Services(f.namespace).Create(f.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{
		IPFamilyPolicy: &both, Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Port: 80}},
	}}, metav1.CreateOptions{})
	if err != nil {
		f.Fatal(err)
	}
	return service
}
