// Package neighbour recognises other policy engines by what they leave on a node
// and in a cluster: chains and tables of the kernel, links, CNI configuration,
// DaemonSets.
//
// Two engines on a node deny what either denies, and each shows only its own half
// of the reason, so people should know before they add a second.
//
// Recognise is pure; Kernel, CNI and the callers' API client gather what it looks
// at. Nothing here changes anything.
package neighbour

import (
	"slices"
	"strings"
)

// Evidence is what was seen, as names.
type Evidence struct {
	Tables     []string // nftables tables, without the families
	Chains     []string // chains of nftables and of iptables, whatever the variant
	Links      []string // network devices
	Plugins    []string // types of CNI plugins in the configuration
	DaemonSets []string // names in any namespace
}

// Add puts more evidence to it.
func (e *Evidence) Add(more Evidence) {
	e.Tables = append(e.Tables, more.Tables...)
	e.Chains = append(e.Chains, more.Chains...)
	e.Links = append(e.Links, more.Links...)
	e.Plugins = append(e.Plugins, more.Plugins...)
	e.DaemonSets = append(e.DaemonSets, more.DaemonSets...)
}

// Engine is another policy engine.
type Engine struct {
	Name string `json:"name"`
	// InKernel: it has something in this node's kernel that filters packets,
	// or did: some engines leave it behind when they are removed.
	InKernel bool     `json:"inKernel"`
	Because  []string `json:"because"` // what was seen, for people
}

// signature is what an engine is known by. Names that end in an asterisk are
// prefixes.
type signature struct {
	engine                                     string
	tables, chains, links, plugins, daemonSets []string
}

// The names are from the engines' own sources and manifests.
var signatures = []signature{
	{
		engine: "Calico", tables: []string{"calico"}, chains: []string{"cali-*"},
		plugins: []string{"calico"}, daemonSets: []string{"calico-node"},
	},
	{
		engine: "Cilium", chains: []string{"CILIUM_*"}, links: []string{"cilium_host"},
		plugins: []string{"cilium-cni"}, daemonSets: []string{"cilium", "anetd"},
	},
	{
		// k3s and RKE2 have its policy part built in, without a DaemonSet.
		engine: "kube-router", chains: []string{"KUBE-ROUTER-*", "KUBE-NWPLCY-*", "KUBE-POD-FW-*"},
		daemonSets: []string{"kube-router"},
	},
	{
		engine: "Azure NPM", chains: []string{"AZURE-NPM*"}, daemonSets: []string{"azure-npm", "azure-npm-win"},
	},
	{
		engine: "Antrea", chains: []string{"ANTREA-*"}, links: []string{"antrea-gw0"},
		plugins: []string{"antrea"}, daemonSets: []string{"antrea-agent"},
	},
	{
		engine: "kube-network-policies", tables: []string{"kube-network-policies", "kindnet-network-policies"},
		daemonSets: []string{"kube-network-policies"},
	},
	{
		engine: "OVN-Kubernetes", links: []string{"ovn-k8s-mp0"},
		plugins: []string{"ovn-k8s-cni-overlay"}, daemonSets: []string{"ovnkube-node"},
	},
	{
		engine: "Weave Net", chains: []string{"WEAVE-NPC*"}, plugins: []string{"weave-net"}, daemonSets: []string{"weave-net"},
	},
	{
		engine: "kube-ovn", links: []string{"ovn0"}, plugins: []string{"kube-ovn"}, daemonSets: []string{"kube-ovn-cni"},
	},
}

// Recognise names the engines that the evidence speaks of, by name.
func Recognise(e Evidence) []Engine {
	var found []Engine
	for _, s := range signatures {
		var kernel, rest []string
		kernel = append(kernel, seen("table", s.tables, e.Tables)...)
		kernel = append(kernel, seen("chain", s.chains, e.Chains)...)
		kernel = append(kernel, seen("device", s.links, e.Links)...)
		rest = append(rest, seen("CNI plugin", s.plugins, e.Plugins)...)
		rest = append(rest, seen("DaemonSet", s.daemonSets, e.DaemonSets)...)
		if len(kernel)+len(rest) > 0 {
			found = append(found, Engine{Name: s.engine, InKernel: len(kernel) > 0, Because: append(kernel, rest...)})
		}
	}
	slices.SortFunc(found, func(a, b Engine) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// seen are what some name or prefix stands for, the first of each.
func seen(what string, known, names []string) []string {
	var because []string
	for _, k := range known {
		prefix, isPrefix := strings.CutSuffix(k, "*")
		i := slices.IndexFunc(names, func(name string) bool {
			return name == k || isPrefix && strings.HasPrefix(name, prefix)
		})
		if i >= 0 {
			because = append(because, what+" "+names[i])
		}
	}
	return because
}

// String is "Calico (chain cali-FORWARD, DaemonSet calico-node)".
func (e Engine) String() string { return e.Name + " (" + strings.Join(e.Because, ", ") + ")" }
