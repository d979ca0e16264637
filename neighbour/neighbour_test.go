package neighbour

import (
	"fmt"
	"testing"
)

func TestRecognise(t *testing.T) {
	for _, test := range []struct {
		name     string
		evidence Evidence
		want     string
	}{
		{"a bare node", Evidence{}, "[]"},
		{
			"kube-proxy, flannel, Docker and ourselves",
			Evidence{
				Tables: []string{"kube-proxy", "bulkhead", "filter", "nat"},
				Chains: []string{"KUBE-FORWARD", "KUBE-SERVICES", "FLANNEL-FWD", "DOCKER-USER", "INPUT", "prerouting"},
				Links:  []string{"lo", "eth0", "cni0", "flannel.1", "veth12"}, Plugins: []string{"flannel", "portmap", "azure-vnet", "bridge"},
				DaemonSets: []string{"kube-proxy", "kube-flannel-ds", "azure-cns", "bulkhead"},
			}, "[]",
		},
		{"Calico with iptables", Evidence{Chains: []string{"cali-FORWARD", "cali-INPUT"}}, "[Calico (chain cali-FORWARD) true]"},
		{"Calico with nftables", Evidence{Tables: []string{"calico"}, DaemonSets: []string{"calico-node"}}, "[Calico (table calico, DaemonSet calico-node) true]"},
		{"Calico not on this node", Evidence{DaemonSets: []string{"calico-node"}}, "[Calico (DaemonSet calico-node) false]"},
		{"Cilium", Evidence{Links: []string{"cilium_host"}, Plugins: []string{"cilium-cni"}}, "[Cilium (device cilium_host, CNI plugin cilium-cni) true]"},
		{"k3s", Evidence{Chains: []string{"KUBE-ROUTER-FORWARD", "KUBE-POD-FW-ABC", "KUBE-NWPLCY-DEFAULT"}}, "[kube-router (chain KUBE-ROUTER-FORWARD, chain KUBE-NWPLCY-DEFAULT, chain KUBE-POD-FW-ABC) true]"},
		{"Azure NPM", Evidence{Chains: []string{"AZURE-NPM", "AZURE-NPM-INGRESS"}, DaemonSets: []string{"azure-npm"}}, "[Azure NPM (chain AZURE-NPM, DaemonSet azure-npm) true]"},
		{"Antrea", Evidence{Links: []string{"antrea-gw0"}}, "[Antrea (device antrea-gw0) true]"},
		{"kindnet", Evidence{Tables: []string{"kindnet-network-policies"}}, "[kube-network-policies (table kindnet-network-policies) true]"},
		{"two at once", Evidence{Chains: []string{"WEAVE-NPC", "cali-FORWARD"}}, "[Calico (chain cali-FORWARD) true Weave Net (chain WEAVE-NPC) true]"},
	} {
		var got []string
		for _, e := range Recognise(test.evidence) {
			got = append(got, fmt.Sprintf("%s %t", e, e.InKernel))
		}
		if text := fmt.Sprint(got); text != test.want {
			t.Errorf("%s: got %s, want %s", test.name, text, test.want)
		}
	}
}
