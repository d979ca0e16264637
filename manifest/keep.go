package manifest

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// keepAddresses gives back what everything had in the cluster to keep, where it
// is still free.
func (b *builder) keepAddresses() {
	if b.opts.Keep == nil {
		return
	}
	for _, o := range b.of("Service") {
		name := cluster.Name{Namespace: o.Namespace, Name: o.Name}
		if kept, ok := b.opts.Keep.Services[name]; ok {
			b.keepService(o, b.bundle.Snapshot.Services[name], kept)
		}
	}
	for _, node := range b.nodes {
		if kept, ok := b.opts.Keep.Nodes[node.Name]; ok {
			b.keepNode(node, kept)
		}
	}
	for _, s := range b.seats {
		kept, ok := b.opts.Keep.Pods[s.pod.Name]
		if ok && kept.Node == s.pod.Node && len(s.pod.Addrs) == 0 && !s.pod.HostNetwork && !kept.HostNetwork {
			s.pod.Addrs = b.keepFree(kept.Addrs, s.owner())
		}
	}
}

// keepNode completes what a node states to what it had, unless it had something
// else.
func (b *builder) keepNode(node, kept *cluster.Node) {
	owner := b.nodeOwner(node)
	if within(node.Addrs, kept.Addrs) {
		node.Addrs = b.keepFree(kept.Addrs, owner)
	}
	if !within(node.PodCIDRs, kept.PodCIDRs) {
		return
	}
	node.PodCIDRs = nil
	for _, r := range kept.PodCIDRs {
		if b.ips.ranges[family(r.Addr())].claim(r, owner) == "" {
			node.PodCIDRs = append(node.PodCIDRs, r)
		}
	}
}

// within tells whether all that is in a is in b.
func within[T comparable](a, b []T) bool {
	return !slices.ContainsFunc(a, func(v T) bool { return !slices.Contains(b, v) })
}

func (b *builder) keepFree(addrs []netip.Addr, owner string) []netip.Addr {
	var kept []netip.Addr
	for _, addr := range addrs {
		if _, ok := b.ips.claim(addr, owner); ok {
			kept = append(kept, addr)
		}
	}
	return kept
}

func (b *builder) keepService(o *object, s, kept *cluster.Service) {
	spec := &o.body.(*corev1.Service).Spec
	if wantsClusterIP(spec, s) {
		s.ClusterIPs = b.keepFree(kept.ClusterIPs, o.owner())
	}
	if !wantsNodePorts(spec) {
		return
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		for _, old := range kept.Ports {
			if p.NodePort != 0 || old.Protocol != p.Protocol || old.Port != p.Port {
				continue
			}
			if _, ok := b.nodePorts.claim(p.Protocol, old.NodePort, o.owner()); ok {
				p.NodePort = old.NodePort
			}
		}
	}
}
