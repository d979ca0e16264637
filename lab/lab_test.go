package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/lab/probe"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/matrix"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// world is two nodes with pods of two teams, one on its node's network, and
// policies of most kinds.
const world = `
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDRs: [10.244.1.0/24, "fd00:244:1::/64"]}, status: {addresses: [{type: InternalIP, address: 172.18.0.2}, {type: InternalIP, address: "fd00:18::2"}]}}
- {apiVersion: v1, kind: Node, metadata: {name: n2}, spec: {podCIDRs: [10.244.2.0/24, "fd00:244:2::/64"]}, status: {addresses: [{type: InternalIP, address: 172.18.0.3}, {type: InternalIP, address: "fd00:18::3"}]}}
- {apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: shop}}}
- {apiVersion: v1, kind: Namespace, metadata: {name: other, labels: {team: other}}}
- {apiVersion: v1, kind: Pod, metadata: {name: front, namespace: shop, labels: {app: front}}, spec: {nodeName: n1, containers: [{name: c, image: i, ports: [{name: http, containerPort: 80}]}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: back-1, namespace: shop, labels: {app: back}}, spec: {nodeName: n1, containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}, {containerPort: 53, protocol: UDP}]}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: back-2, namespace: shop, labels: {app: back}}, spec: {nodeName: n2, containers: [{name: c, image: i, ports: [{name: http, containerPort: 8081}, {containerPort: 53, protocol: UDP}]}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: client, namespace: other, labels: {app: front}}, spec: {nodeName: n2, containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: agent, namespace: other}, spec: {nodeName: n2, hostNetwork: true, containers: [{name: c, image: i, ports: [{containerPort: 9100}]}]}}
- {apiVersion: v1, kind: Service, metadata: {name: back, namespace: shop}, spec: {clusterIP: 10.96.0.7, selector: {app: back}, ports: [{port: 80, targetPort: http}]}}
`

const policies = `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: back, namespace: shop}
spec:
  podSelector: {matchLabels: {app: back}}
  ingress:
  - {from: [{podSelector: {matchLabels: {app: front}}}], ports: [{port: http}]}
  - {from: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 53, protocol: UDP}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: front, namespace: shop}
spec:
  podSelector: {matchLabels: {app: front}}
  policyTypes: [Ingress, Egress]
  egress:
  - {to: [{podSelector: {}}]}
  - {to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}], ports: [{port: 443}, {port: 22}]}
`

const deny = `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
`

func load(t testing.TB, yaml string) *manifest.Bundle {
	t.Helper()
	bundle, err := manifest.Load([]string{"-"}, manifest.Options{}, strings.NewReader(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

func start(t testing.TB, config Config, yaml string) *Lab {
	t.Helper()
	b := load(t, yaml)
	l, err := Start(t.Context(), config, b.Snapshot, b.Policies)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func apply(t *testing.T, l *Lab, yaml string) {
	t.Helper()
	b := load(t, yaml)
	if err := l.Apply(t.Context(), b.Snapshot, b.Policies); err != nil {
		t.Fatal(err)
	}
}

// measure probes everything and returns what is measured and what the model
// says.
func measure(t testing.TB, l *Lab) ([]Measurement, []traffic.Verdict) {
	t.Helper()
	view := l.View()
	connections := matrix.Connections(view.Snapshot, view.Policies)
	measured, err := l.Probe(t.Context(), connections, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Failed(measured); err != nil {
		t.Fatal(err)
	}
	model := verdict.New(view.Snapshot, view.Policies)
	var verdicts []traffic.Verdict
	for _, c := range connections {
		verdicts = append(verdicts, model.Verdict(c))
	}
	return measured, verdicts
}

// agrees checks that packets find what the model says, and returns how often
// each verdict was found.
func agrees(t testing.TB, l *Lab) map[traffic.Verdict]int {
	t.Helper()
	found := map[traffic.Verdict]int{}
	measured, verdicts := measure(t, l)
	for i, m := range measured {
		v := m.Verdict()
		if v == nil || *v != verdicts[i] {
			t.Errorf("%s: model %s, packets %s (%q)", m.Connection, verdicts[i], m.Outcome, m.Answer)
			continue
		}
		found[*v]++
	}
	return found
}

var modes = []network.Mode{network.Routed, network.Bridged}

func TestKernelDoesWhatTheModelSays(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			l := start(t, Config{Network: mode}, world+policies)
			if found := agrees(t, l); found[traffic.Allow] < 20 || found[traffic.Deny] < 20 {
				t.Errorf("the world is too dull: %v", found)
			}
		})
	}
}

// TestNobodyDeniesWithoutTheEngine shows that it is the engine that denies: the
// same connections arrive without it.
func TestNobodyDeniesWithoutTheEngine(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			measured, _ := measure(t, start(t, Config{Network: mode, NoEnforce: true}, world+policies))
			for _, m := range measured {
				if v := m.Verdict(); v == nil || *v != traffic.Allow {
					t.Errorf("%s: %s, %v", m.Connection, m.Outcome, m.Err)
				}
			}
		})
	}
}

func TestApplyChangesVerdicts(t *testing.T) {
	l := start(t, Config{}, world)
	if found := agrees(t, l); found[traffic.Deny] > 0 {
		t.Errorf("denied without policies: %v", found)
	}
	for _, step := range []string{policies, policies + deny, deny, ""} {
		apply(t, l, world+step)
		agrees(t, l)
	}
}

func TestPodsComeMoveAndGo(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			l := start(t, Config{Network: mode}, world+policies)
			late := "\n---\n{apiVersion: v1, kind: Pod, metadata: {name: late, namespace: shop, labels: {app: back}}, spec: {nodeName: %s, containers: [{name: c, image: i, ports: [{containerPort: %d}]}]}}"
			for _, more := range []string{
				fmt.Sprintf(late, "n1", 8080), // comes
				fmt.Sprintf(late, "n1", 9999), // opens another port
				fmt.Sprintf(late, "n2", 8080), // moves
				"",                            // goes
			} {
				apply(t, l, world+policies+more)
				agrees(t, l)
			}
			if l.net.Pod(cluster.Name{Namespace: "shop", Name: "late"}) != nil {
				t.Error("a pod that is gone is still there")
			}
		})
	}
}

func TestNodesComeAndGo(t *testing.T) {
	l := start(t, Config{}, world+policies)
	withoutN2 := ""
	for line := range strings.Lines(world) {
		if !strings.Contains(line, "n2") {
			withoutN2 += line
		}
	}
	for _, yaml := range []string{withoutN2, world} {
		apply(t, l, yaml+policies)
		agrees(t, l)
	}
}

// TestLiveConnectionIsCut keeps a connection open while a policy comes that does
// not allow it.
func TestLiveConnectionIsCut(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			l := start(t, Config{Network: mode}, world+policies)
			conn := dial(t, l, "shop/front", "tcp", "10.96.0.7:80")
			exchange := func() error {
				conn.SetDeadline(time.Now().Add(500 * time.Millisecond))
				if _, err := conn.Write([]byte("hello\n")); err != nil {
					return err
				}
				_, err := conn.Read(make([]byte, 100))
				return err
			}
			if err := exchange(); err != nil {
				t.Fatalf("before: %v", err)
			}
			apply(t, l, world+policies+"\n"+strings.ReplaceAll(deny, "name: deny", "name: more")) // adds up: still allowed
			if err := exchange(); err != nil {
				t.Errorf("a policy that changes nothing for it: %v", err)
			}
			apply(t, l, world+deny)
			if err := exchange(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after: %v", err)
			}
		})
	}
}

func place(t *testing.T, l *Lab, target string) Place {
	t.Helper()
	p, ok := l.Place(target)
	if !ok {
		t.Fatalf("no place %q", target)
	}
	return p
}

func dial(t *testing.T, l *Lab, from, network, address string) net.Conn {
	t.Helper()
	var conn net.Conn
	if err := place(t, l, from).Space.Do(func() (err error) {
		conn, err = (&net.Dialer{Timeout: 20 * time.Second}).Dial(network, address)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestManyPods is the size that people wait for.
func TestManyPods(t *testing.T) {
	var yaml strings.Builder
	for i := range 3 {
		fmt.Fprintf(&yaml, "---\n{apiVersion: v1, kind: Node, metadata: {name: n%d}}\n", i)
	}
	for i := range 50 {
		fmt.Fprintf(&yaml, "---\n{apiVersion: v1, kind: Pod, metadata: {name: p%d, namespace: ns%d, labels: {app: a%d}}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}\n", i, i%2, i%3)
	}
	yaml.WriteString("---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x, namespace: ns0}, spec: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: a1}}}]}]}}\n")
	l := start(t, Config{}, yaml.String())
	if found := agrees(t, l); found[traffic.Allow]+found[traffic.Deny] < 1000 || found[traffic.Deny] < 500 {
		t.Errorf("only %v connections", found)
	}
}

func TestSomebodyElsesAnswerDoesNotCount(t *testing.T) {
	pod := &cluster.Pod{Name: cluster.Name{Namespace: "shop", Name: "back"}}
	to := func(p *cluster.Pod) verdict.Connection { return verdict.Connection{To: verdict.Endpoint{Pod: p}} }
	for _, row := range []struct {
		c      verdict.Connection
		answer string
		want   probe.Outcome
	}{
		{to(pod), "shop/back TCP 80 from 10.0.0.1", probe.Answered},
		{to(pod), "shop/back-2 TCP 80 from 10.0.0.1", probe.Unknown},
		{to(pod), "ip/10.244.0.1 TCP 80 from 10.0.0.1", probe.Unknown},
		{to(pod), "", probe.Answered},
		{to(&cluster.Pod{Name: pod.Name, HostNetwork: true}), "node/n1 TCP 22 from 10.0.0.1", probe.Answered},
		{to(nil), "ip/192.0.2.1 TCP 80 from 10.0.0.1", probe.Answered},
	} {
		if got := checkAnswer(row.c, probe.Result{Outcome: probe.Answered, Answer: row.answer}); got.Outcome != row.want {
			t.Errorf("%q: %s, want %s", row.answer, got.Outcome, row.want)
		}
	}
}

func TestBridgeRefusesForeignAddresses(t *testing.T) {
	b := load(t, world)
	pod := *b.Snapshot.Pods[cluster.Name{Namespace: "shop", Name: "front"}]
	pod.Addrs = b.Snapshot.Services[cluster.Name{Namespace: "shop", Name: "back"}].ClusterIPs
	b.Snapshot.Pods[pod.Name] = &pod
	l, err := Start(t.Context(), Config{Network: network.Bridged}, b.Snapshot, b.Policies)
	if err == nil || !strings.Contains(err.Error(), "pod shop/front has address 10.96.0.7") {
		t.Errorf("got %v, %v", l, err)
	}
}

// TestCloseLeavesNothing: what stays open fails the run of all tests (kerneltest);
// here are threads, which would keep namespaces.
func TestCloseLeavesNothing(t *testing.T) {
	b := load(t, world+policies)
	l, err := Start(t.Context(), Config{Network: network.Bridged}, b.Snapshot, b.Policies)
	if err != nil {
		t.Fatal(err)
	}
	agrees(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	home, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		if strings.HasPrefix(task, fmt.Sprintf("/proc/self/task/%d/", os.Getpid())) {
			continue // TestMain may have sent the first thread away
		}
		at, err := os.Readlink(task)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil || at != home {
			t.Errorf("%s is %s, %v; want %s", task, at, err, home)
		}
	}
}
