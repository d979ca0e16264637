package cluster_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	utilexec "k8s.io/client-go/util/exec"
)

func TestPodsAnswerOnEveryAddress(t *testing.T) {
	f := newFixture(t, shared)
	f.create(on("node-1", server("near")))
	f.create(on("node-2", server("far")))
	service := f.expose("far")
	f.ready("near")
	far := f.ready("far")
	if len(far.Status.PodIPs) != 2 {
		t.Fatalf("the pod has addresses %v", far.Status.PodIPs)
	}
	for _, ip := range far.Status.PodIPs {
		if got := f.run("near", "curl", "-s", "http://"+net.JoinHostPort(ip.IP, "80")+"/hostname"); got != "far" {
			t.Errorf("%s answers %q", ip.IP, got)
		}
	}
	if len(service.Spec.ClusterIPs) != 2 {
		t.Fatalf("the service has addresses %v", service.Spec.ClusterIPs)
	}
	for _, ip := range service.Spec.ClusterIPs {
		if got := f.eventually("near", "curl", "-s", "--max-time", "5", "http://"+net.JoinHostPort(ip, "80")+"/hostname"); got != "far" {
			t.Errorf("service address %s answers %q", ip, got)
		}
	}
	if got := f.eventually("near", "curl", "-s", "http://far/hostname"); got != "far" {
		t.Errorf("the service's name answers %q", got)
	}
	if got := f.eventually("far", "curl", "-s", "http://far/hostname"); got != "far" {
		t.Errorf("the pod's own service answers %q", got)
	}
}

func TestTheAddressIsToldBeforeThePodIsReady(t *testing.T) {
	f := newFixture(t, shared)
	w, err := f.client.CoreV1().Pods(f.namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	pod := podOf("slow", shell("main", "exec sleep 1000"))
	pod.Spec.InitContainers = []corev1.Container{shell("init", "until test -e /tmp/go; do sleep 0.02; done")}
	f.create(pod)
	for event := range w.ResultChan() {
		if event.Type == watch.Error {
			t.Fatal(event.Object)
		}
		if pod := event.Object.(*corev1.Pod); pod.Status.PodIP != "" {
			if pod.Status.Phase != corev1.PodPending || isReady(pod) {
				t.Errorf("with its address the pod is %s", pod.Status.Phase)
			}
			break
		}
	}
}

func TestExec(t *testing.T) {
	f := newFixture(t, shared)
	pod := podOf("box", shell("main", "exec sleep 1000"))
	pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "GREETING", Value: "hello"}}
	f.create(pod)
	f.ready("box")
	out, errs, err := f.exec("box", "from outside", "bash", "-c", "cat; echo $GREETING >&2")
	if out != "from outside" || errs != "hello\n" || err != nil {
		t.Errorf("wrote %q and %q, %v", out, errs, err)
	}
	_, _, err = f.exec("box", "", "bash", "-c", "exit 7")
	var code utilexec.CodeExitError
	if !errors.As(err, &code) || code.Code != 7 {
		t.Errorf("exit 7 is %v", err)
	}
	if _, _, err = f.exec("box", "", "no-such-program"); err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("a program that is not there: %v", err)
	}
	// The container is a world of its own.
	for script, want := range map[string]string{
		"hostname":         "box",
		"cat /proc/1/comm": "sleep",
		"test $(ls -d /proc/[0-9]* | wc -l) -lt 6 && echo few": "few",
		"ls /sys/class/net | tr '\n' ' '":                      "eth0 lo",
		"grep -c nameserver /etc/resolv.conf":                  "2",
		"echo x > /etc/hosts && touch /new && echo written":    "written",
		"ip link add d0 type dummy 2>/dev/null || echo denied": "denied",
	} {
		if got := f.run("box", "bash", "-c", script); got != want {
			t.Errorf("%s: %q, not %q", script, got, want)
		}
	}
}

func TestInitContainersAndSidecars(t *testing.T) {
	f := newFixture(t, shared)
	always := corev1.ContainerRestartPolicyAlways
	note := func(name, script string) corev1.Container {
		c := shell(name, "echo "+name+" >> /notes/order; "+script)
		c.VolumeMounts = []corev1.VolumeMount{{Name: "notes", MountPath: "/notes"}}
		return c
	}
	beside := note("beside", "exec sleep 1000")
	beside.RestartPolicy = &always
	beside.StartupProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"grep", "beside", "/notes/order"}}}}
	pod := podOf("ordered", note("main", "exec sleep 1000"))
	pod.Spec.InitContainers = []corev1.Container{note("first", ""), beside, note("second", "")}
	pod.Spec.Volumes = []corev1.Volume{{Name: "notes", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	f.create(pod)
	ready := f.ready("ordered")
	if got := strings.Fields(f.run("ordered", "cat", "/notes/order")); fmt.Sprint(got) != "[first beside second main]" {
		t.Errorf("they ran as %v", got)
	}
	for _, s := range ready.Status.InitContainerStatuses {
		if running := s.State.Running != nil; running != (s.Name == "beside") || !s.Ready {
			t.Errorf("init container %s is %+v", s.Name, s)
		}
	}
}

func TestReadinessFollowsTheProbe(t *testing.T) {
	f := newFixture(t, shared)
	c := shell("main", "exec sleep 1000")
	c.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 1,
		ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"test", "-e", "/tmp/ready"}}}}
	f.create(podOf("moody", c))
	if pod := f.awaitPod("moody", "running", phase(corev1.PodRunning)); isReady(pod) {
		t.Error("ready before its probe passes")
	}
	f.run("moody", "touch", "/tmp/ready")
	f.ready("moody")
	f.run("moody", "rm", "/tmp/ready")
	f.awaitPod("moody", "not ready", func(pod *corev1.Pod) bool { return !isReady(pod) })
}

func TestRestarts(t *testing.T) {
	f := newFixture(t, shared)
	f.create(podOf("again", shell("main", "echo run; exit 3")))
	pod := f.awaitPod("again", "restarted", func(pod *corev1.Pod) bool {
		return len(pod.Status.ContainerStatuses) == 1 && pod.Status.ContainerStatuses[0].RestartCount >= 1
	})
	if last := pod.Status.ContainerStatuses[0].LastTerminationState.Terminated; last == nil || last.ExitCode != 3 {
		t.Errorf("the last end is %+v", pod.Status.ContainerStatuses[0])
	}
	once := podOf("once", shell("main", "echo out; echo err >&2"))
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	f.create(once)
	f.awaitPod("once", "done", phase(corev1.PodSucceeded))
	logs, err := f.client.CoreV1().Pods(f.namespace).GetLogs("once", &corev1.PodLogOptions{}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	if text, err := io.ReadAll(logs); err != nil || !strings.Contains(string(text), "out\n") || !strings.Contains(string(text), "err\n") {
		t.Errorf("its log is %q, %v", text, err)
	}
}

func TestAnUnknownImageSaysWhatThereIs(t *testing.T) {
	f := newFixture(t, shared)
	f.create(podOf("lost", corev1.Container{Name: "main", Image: "example.org/nowhere:1"}))
	f.awaitPod("lost", "told so", func(pod *corev1.Pod) bool {
		if len(pod.Status.ContainerStatuses) == 0 {
			return false
		}
		waiting := pod.Status.ContainerStatuses[0].State.Waiting
		return waiting != nil && waiting.Reason == "ErrImageNeverPull" && strings.Contains(waiting.Message, "agnhost")
	})
}

func TestDeletionAsksFirst(t *testing.T) {
	f := newFixture(t, shared)
	polite := podOf("polite", shell("main", "trap 'echo bye > /dev/tcp/$PEER/9; exit' TERM; while :; do sleep 0.02; done"))
	listener := podOf("listener", shell("main", "exec perl -MIO::Socket -e '$s = IO::Socket::INET->new(LocalPort => 9, Listen => 1); print $s->accept->getline'"))
	listener.Spec.RestartPolicy = corev1.RestartPolicyNever
	f.create(listener)
	peer := f.ready("listener").Status.PodIP
	polite.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "PEER", Value: peer}}
	minute := int64(60)
	polite.Spec.TerminationGracePeriodSeconds = &minute
	f.create(polite)
	f.ready("polite")
	if err := f.client.CoreV1().Pods(f.namespace).Delete(t.Context(), "polite", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	// It is heard only because it was asked, and its network was still there.
	f.awaitPod("listener", "done", phase(corev1.PodSucceeded))
	f.await("the pod to be gone", func() (bool, error) {
		pods, err := f.client.CoreV1().Pods(f.namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=polite"})
		return err == nil && len(pods.Items) == 0, err
	})
}

func TestAPodIsSomebodyToTheAPIServer(t *testing.T) {
	f := newFixture(t, shared)
	f.create(podOf("caller", shell("main", "exec sleep 1000")))
	f.ready("caller")
	const dir = "/var/run/secrets/kubernetes.io/serviceaccount"
	script := `curl -s --cacert ` + dir + `/ca.crt -H "Authorization: Bearer $(cat ` + dir + `/token)" -H 'Content-Type: application/json' \
		-d '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}' \
		https://kubernetes.default.svc/apis/authentication.k8s.io/v1/selfsubjectreviews`
	answer := f.eventually("caller", "bash", "-c", script)
	if want := `"system:serviceaccount:` + f.namespace + `:default"`; !strings.Contains(answer, want) {
		t.Errorf("the API server says %s", answer)
	}
}

func TestHostNetwork(t *testing.T) {
	f := newFixture(t, shared)
	pod := on("node-2", podOf("host", shell("main", "exec sleep 1000")))
	pod.Spec.HostNetwork = true
	f.create(pod)
	ready := f.ready("host")
	if node := shared.Node(2); ready.Status.PodIP != node.Addresses[0] || ready.Status.HostIP != ready.Status.PodIP {
		t.Errorf("the pod is at %s, its node at %v", ready.Status.PodIP, node.Addresses)
	}
	if got := f.run("host", "hostname"); got != "node-2" {
		t.Errorf("the pod's host name is %s", got)
	}
}
