package failure

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// lost tells whether a node's agent says that the API server does not answer.
func lost(node int) bool {
	state, err := status(shared.Node(node))
	if err != nil {
		return false
	}
	source, _ := state["source"].(map[string]any)
	tables, _ := source["resources"].([]any)
	for _, table := range tables {
		if _, is := table.(map[string]any)["lost"]; is {
			return true
		}
	}
	return false
}

// lists is how many complete lists of pods a node's agent has read.
func lists(node int) float64 {
	state, err := status(shared.Node(node))
	if err != nil {
		return -1
	}
	source, _ := state["source"].(map[string]any)
	tables, _ := source["resources"].([]any)
	for _, table := range tables {
		if t := table.(map[string]any); t["kind"] == "Pod" {
			n, _ := t["lists"].(float64)
			return n
		}
	}
	return -1
}

// TestServerGoesAndComesBack also lets an agent start while it is away: what an
// earlier one left is in force all that time.
func TestServerGoesAndComesBack(t *testing.T) {
	s := newScene(t)
	server, engine := shared.Process("kube-apiserver"), shared.Node(1).Engine()
	s.unharmed("API server away for a minute, and the agent killed and started meanwhile", func() {
		s.do("kill API server", server.Kill(t.Context()))
		away := time.Now()
		s.await("the loss to be noticed", func() bool { return lost(1) })
		s.more(s.traffic.Counts(), 300)
		s.do("kill agent", engine.Kill(t.Context()))
		s.do("start agent", engine.Start(t.Context()))
		s.await("a minute", func() bool { return time.Since(away) >= time.Minute })
		s.do("start API server", server.Start(t.Context()))
		s.ready(shared.Node(1))
		s.await("the server to be found again", func() bool { return !lost(1) && !lost(2) })
	})
	s.changesArrive()
}

// changesArrive turns the two clients' roles and back.
func (s *scene) changesArrive() {
	s.Helper()
	before := s.traffic.Counts()
	s.allow("denied")
	s.await("the other client to be let in", func() bool { return s.traffic.Counts().Since(before).Leaked > 50 })
	s.allow("allowed")
	s.settle()
}

func (s *scene) allow(client string) {
	s.Helper()
	patch := fmt.Sprintf(`[{"op": "replace", "path": "/spec/ingress/0/from/0/podSelector/matchLabels/app", "value": %q}]`, client)
	_, err := s.client.NetworkingV1().NetworkPolicies(s.namespace).Patch(s.Context(), "allow", types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
	s.do("change policy", err)
}

// TestHistoryIsForgotten: the agent was away too long to be told what it missed,
// and has to find out by a new list.
func TestHistoryIsForgotten(t *testing.T) {
	s := newScene(t)
	s.policy("short-lived", metav1.LabelSelector{MatchLabels: map[string]string{"app": "server"}}, "nobody")
	s.await("the policy that will go", func() bool { return slices.Contains(policiesOfServer(), s.namespace+"/short-lived") })
	engine, before := shared.Node(1).Engine(), lists(1)
	s.unharmed("API server with compacted history after a long absence", func() {
		s.do("suspend agent", engine.Signal(t.Context(), syscall.SIGSTOP))
		// The kernel goes on receiving for it, so its connections have to end
		// before there is anything to miss.
		s.restartServer()
		// What it misses: a policy that goes, and a pod so that pods have news.
		s.do("delete policy", s.client.NetworkingV1().NetworkPolicies(s.namespace).Delete(t.Context(), "short-lived", metav1.DeleteOptions{}))
		s.pod("newcomer", 2)
		s.do("forget history", shared.CompactHistory(t.Context()))
		// The server's own memory of what happened has to go as well.
		s.restartServer()
		s.do("resume agent", engine.Signal(t.Context(), syscall.SIGCONT))
		s.await("a new list", func() bool { return lists(1) > before })
		s.await("the policy to be gone", func() bool { return !slices.Contains(policiesOfServer(), s.namespace+"/short-lived") })
	})
	s.changesArrive()
}

// restartServer returns when the API server answers again.
func (s *scene) restartServer() {
	s.Helper()
	server := shared.Process("kube-apiserver")
	s.do("kill API server", server.Kill(s.Context()))
	s.do("start API server", server.Start(s.Context()))
	s.await("the server to answer", func() bool {
		_, err := s.client.CoreV1().Namespaces().Get(s.Context(), s.namespace, metav1.GetOptions{})
		return err == nil
	})
}

// policiesOfServer are those by which the agent of node 1 isolates pods.
func policiesOfServer() []string {
	state, err := status(shared.Node(1))
	if err != nil {
		return nil
	}
	var names []string
	pods, _ := state["pods"].([]any)
	for _, pod := range pods {
		ingress, _ := pod.(map[string]any)["ingress"].(map[string]any)
		policies, _ := ingress["policies"].([]any)
		for _, p := range policies {
			names = append(names, p.(string))
		}
	}
	return names
}

// TestBurstOfPolicies makes, changes and removes a thousand policies beside those
// that count.
func TestBurstOfPolicies(t *testing.T) {
	s := newScene(t)
	const policies = 334
	s.unharmed("1,000 policy edits in a burst", func() {
		for i := range policies {
			s.policy(fmt.Sprintf("burst-%d", i), metav1.LabelSelector{MatchLabels: map[string]string{"app": "server"}}, fmt.Sprintf("nobody-%d", i))
		}
		api := s.client.NetworkingV1().NetworkPolicies(s.namespace)
		for i := range policies {
			_, err := api.Patch(t.Context(), fmt.Sprintf("burst-%d", i), types.MergePatchType,
				[]byte(`{"spec": {"ingress": [{"ports": [{"port": 9}]}]}}`), metav1.PatchOptions{})
			s.do("change policy", err)
		}
		for i := range policies {
			s.do("delete policy", api.Delete(t.Context(), fmt.Sprintf("burst-%d", i), metav1.DeleteOptions{}))
		}
	})
	s.changesArrive()
}
