package cilium

import (
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/cilium/cilium/pkg/identity"
	k8sconst "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy/api"
	ciliumtypes "github.com/cilium/cilium/pkg/types"
	"github.com/cilium/cilium/pkg/u8proto"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy/cilium"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// identities are what Cilium knows everything by. Each pod, node and address has
// one of its own, which Cilium's allocators would share where labels are equal.
type identities struct {
	pods    map[cluster.Name]*identity.Identity
	nodes   map[string]*identity.Identity // as other nodes
	outside map[netip.Addr]*identity.Identity
	byID    map[identity.NumericIdentity]*cluster.Pod
}

func newIdentities(s *cluster.Snapshot, groups []*cilium.CIDRGroup, outside []netip.Addr, nodes bool) *identities {
	all := &identities{
		pods: map[cluster.Name]*identity.Identity{}, nodes: map[string]*identity.Identity{},
		outside: map[netip.Addr]*identity.Identity{}, byID: map[identity.NumericIdentity]*cluster.Pod{},
	}
	next := identity.MinimalNumericIdentity
	for _, name := range slices.SortedFunc(maps.Keys(s.Pods), cluster.Name.Compare) {
		all.pods[name] = identity.NewIdentity(next, podLabels(s, s.Pods[name]))
		all.byID[next] = s.Pods[name]
		next++
	}
	for i, name := range slices.Sorted(maps.Keys(s.Nodes)) {
		id := identity.IdentityScopeRemoteNode + identity.NumericIdentity(i+1)
		all.nodes[name] = identity.NewIdentity(id, nodeLabels(s.Nodes[name], nodes))
	}
	for i, addr := range outside {
		id := identity.IdentityScopeLocal + identity.NumericIdentity(i+1)
		all.outside[addr] = identity.NewIdentity(id, addressLabels(addr, groups))
	}
	return all
}

func podLabels(s *cluster.Snapshot, pod *cluster.Pod) labels.Labels {
	all := map[string]string{
		k8sconst.PodNamespaceLabel:         pod.Namespace,
		k8sconst.PolicyLabelServiceAccount: pod.ServiceAccount,
		k8sconst.PolicyLabelCluster:        clusterName,
	}
	maps.Copy(all, pod.Labels)
	for key, value := range s.NamespaceLabels(pod.Namespace) {
		all[k8sconst.PodNamespaceMetaLabelsPrefix+key] = value
	}
	return labels.Map2Labels(all, labels.LabelSourceK8s)
}

// nodeLabels are those of another node; its own labels are among them if policies
// may select by them.
func nodeLabels(node *cluster.Node, own bool) labels.Labels {
	all := labels.Labels{}
	all.MergeLabels(labels.LabelRemoteNode)
	if own {
		all.MergeLabels(labels.Map2Labels(node.Labels, labels.LabelSourceNode))
		all.MergeLabels(labels.Map2Labels(map[string]string{k8sconst.PolicyLabelCluster: clusterName}, labels.LabelSourceK8s))
	}
	return all
}

// addressLabels are those of an address with its groups, as Cilium's watcher of
// groups hands them to the address cache.
func addressLabels(addr netip.Addr, groups []*cilium.CIDRGroup) labels.Labels {
	all := labels.GetCIDRLabels(netip.PrefixFrom(addr, addr.BitLen()))
	for _, g := range groups {
		if !slices.ContainsFunc(g.Spec.ExternalCIDRs, func(c string) bool { return netip.MustParsePrefix(c).Contains(addr) }) {
			continue
		}
		for key, value := range g.Labels {
			l := labels.NewLabel(key, value, labels.LabelSourceCIDRGroup)
			encoded := labels.EncodedCIDRGroupLabel(l.Key, l.Value, l.Source)
			all[l.Key], all[encoded.Key] = l, encoded
		}
		name := api.LabelForCIDRGroupRef(g.Name)
		all[name.Key] = name
	}
	return all
}

// labels are all identities, as the selectors of policies see them.
func (all *identities) labels() identity.IdentityMap {
	found := identity.IdentityMap{identity.ReservedIdentityHost: labels.LabelHost.LabelArray()}
	add := func(id *identity.Identity) { found[id.ID] = id.LabelArray }
	for _, id := range all.pods {
		add(id)
	}
	for _, id := range all.nodes {
		add(id)
	}
	for _, id := range all.outside {
		add(id)
	}
	return found
}

func (all *identities) ofPod(pod *cluster.Pod) *identity.Identity { return all.pods[pod.Name] }

// of is an end as it is known on a node.
func (all *identities) of(e verdict.Endpoint, node string) identity.NumericIdentity {
	switch host := e.Host(); {
	case host != "" && host == node:
		return identity.ReservedIdentityHost
	case host != "":
		return all.nodes[host].ID
	case e.Pod != nil:
		return all.pods[e.Pod.Name].ID
	}
	return all.outside[e.Addr].ID
}

// GetNamedPorts makes the identities tell of the ports of pods.
func (all *identities) GetNamedPorts() ciliumtypes.NamedPortMultiMap { return namedPorts{all} }

type namedPorts struct{ *identities }

func (n namedPorts) GetNamedPort(string, u8proto.U8proto, iter.Seq[identity.NumericIdentity]) (uint16, error) {
	panic("Cilium asks for one port of a name where it asked for all")
}

func (n namedPorts) GetNamedPorts(name string, proto u8proto.U8proto, ids iter.Seq[identity.NumericIdentity]) ciliumtypes.NidPortSeq {
	return func(yield func(identity.NumericIdentity, uint16) bool) {
		for id := range ids {
			pod := n.byID[id]
			if pod == nil {
				continue
			}
			for _, number := range pod.Resolve(name, traffic.Protocol(proto)) {
				if !yield(id, number) {
					return
				}
			}
		}
	}
}

func (n namedPorts) Len() int { return len(n.byID) }
