package dialects

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

const patience = 2 * time.Minute

// scene is a namespace with a server on one node and a client on the other.
type scene struct {
	*testing.T
	client    *kubernetes.Clientset
	namespace string
	knocker   cluster.Place
	address   string // of the server
}

func newScene(t *testing.T) *scene {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", shared.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &scene{T: t, client: client}
}

// populate makes the namespace and its two pods.
func (s *scene) populate() {
	s.Helper()
	ns, err := s.client.CoreV1().Namespaces().Create(s.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "dialect-"}}, metav1.CreateOptions{})
	if err != nil {
		s.Fatal(err)
	}
	s.namespace = ns.Name
	s.start("web", "node-1")
	s.start("client", "node-2")
	s.address = s.running("web")
	s.running("client")
	if s.knocker, err = shared.Pod(s.Context(), s.namespace, "client"); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := s.client.CoreV1().Namespaces().Delete(context.Background(), s.namespace, metav1.DeleteOptions{}); err != nil {
			s.Error(err)
		}
	})
}

func (s *scene) start(name, node string) {
	s.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}}}
	pod.Spec.NodeSelector = map[string]string{corev1.LabelHostname: node}
	pod.Spec.Containers = []corev1.Container{{Name: "server", Image: "registry.example/agnhost:1", Args: []string{"netexec", "--http-port=80"}}}
	if _, err := s.client.CoreV1().Pods(s.namespace).Create(s.Context(), pod, metav1.CreateOptions{}); err != nil {
		s.Fatal(err)
	}
}

func (s *scene) running(name string) (address string) {
	s.Helper()
	s.await(name+" to run", func() error {
		pod, err := s.client.CoreV1().Pods(s.namespace).Get(s.Context(), name, metav1.GetOptions{})
		if err != nil || pod.Status.Phase != corev1.PodRunning || pod.Status.PodIP == "" {
			return errors.Join(err, fmt.Errorf("it is %s", pod.Status.Phase))
		}
		address = pod.Status.PodIP
		return nil
	})
	return address
}

func (s *scene) await(what string, holds func() error) {
	s.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("waited for %s in vain: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond) // between two looks
	}
}

// reaches waits until the client reaches the server, or does not.
func (s *scene) reaches(want bool, after string) {
	s.Helper()
	s.await(fmt.Sprintf("reachable %t after %s", want, after), func() error {
		err := s.knocker.Command(s.Context(), "curl", "-s", "-m", "1", "-o", "/dev/null", "http://"+s.address+"/").Run()
		var exit *exec.ExitError
		switch {
		case err == nil && want, errors.As(err, &exit) && exit.ExitCode() == 28 && !want: // 28: it timed out
			return nil
		}
		return fmt.Errorf("curl: %v", err)
	})
}

// install installs the definitions of an API; they are there when it returns.
func (s *scene) install(api string) {
	s.Helper()
	text, err := exec.CommandContext(s.Context(), program, "crds", api, "--kubeconfig", shared.Kubeconfig).Output()
	if err != nil {
		s.Fatal(err)
	}
	for document := range strings.SplitSeq(string(text), "---\n") {
		if strings.TrimSpace(document) != "" {
			if err := s.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", document); err != nil && !apierrors.IsAlreadyExists(err) {
				s.Fatal(err)
			}
		}
	}
}

// send sends an object, whose @NS is the scene's namespace.
func (s *scene) send(verb, path, text string) error {
	text = "#\n" + strings.ReplaceAll(text, "@NS", s.namespace) // a brace at the beginning would make it JSON
	body, err := yaml.ToJSON([]byte(text))
	if err != nil {
		return err
	}
	media := "application/json"
	if verb == "PATCH" {
		media = "application/merge-patch+json"
	}
	return s.client.RESTClient().Verb(verb).AbsPath(strings.ReplaceAll(path, "@NS", s.namespace)).
		SetHeader("Content-Type", media).Body(body).Do(s.Context()).Error()
}
