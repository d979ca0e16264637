package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/kube"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/k8s"
)

// kubeSource reads an API server.
type kubeSource struct {
	host       string
	feed       *kube.Feed
	pods       *kube.Table[*cluster.Pod]
	namespaces *kube.Table[*cluster.Namespace]
	nodes      *kube.Table[*cluster.Node]
	policies   *kube.Table[*policy.Policy]
	begun      bool // the first batch was given
}

// FromKube is a source that follows an API server, for the agent of a node.
func FromKube(client *kube.Client, node string, log *slog.Logger) Source {
	feed := kube.NewFeed(client, log)
	return &kubeSource{
		host: client.Host,
		feed: feed,
		pods: feed.Pods(func(p *cluster.Pod) bool {
			// No policy picks a pod on its node's network, and a pod without
			// addresses is nobody's peer.
			return !p.HostNetwork && (len(p.Addrs) > 0 || p.Node == node)
		}),
		namespaces: feed.Namespaces(),
		nodes:      feed.Node(node),
		policies:   kube.Follow(feed, client.NetworkPolicies(), readPolicy, samePolicy),
	}
}

// readPolicy keeps what was understood of a policy; k8s.Read errs on the side
// of denying.
func readPolicy(object metav1.Object) kube.Reading[*policy.Policy] {
	p, errs := k8s.Read(object.(*networkingv1.NetworkPolicy))
	return kube.Reading[*policy.Policy]{Value: p, Errs: errs}
}

func samePolicy(a, b *policy.Policy) bool { return reflect.DeepEqual(a, b) }

func (s *kubeSource) Run(ctx context.Context) error {
	s.feed.Run(ctx)
	return nil
}

func (s *kubeSource) Next(ctx context.Context) (Batch, error) {
	for {
		select {
		case <-ctx.Done():
			return Batch{}, ctx.Err()
		case <-s.feed.News():
		}
		if !s.feed.Synced() {
			continue
		}
		since := s.feed.Since()
		batch := s.take()
		batch.Since = since
		if !batch.Empty() || !s.begun {
			s.begun = true
			return batch, nil
		}
	}
}

func (s *kubeSource) take() Batch {
	var b Batch
	b.Pods = taken(&b, s.pods, func(n cluster.Name) cluster.Name { return n }, NotUnderstood)
	b.Namespaces = taken(&b, s.namespaces, clusterWide, NotUnderstood)
	b.Nodes = taken(&b, s.nodes, clusterWide, NotUnderstood)
	b.Policies = taken(&b, s.policies, networkPolicy, PartlyEnforced)
	return b
}

func clusterWide(n cluster.Name) string { return n.Name }

func networkPolicy(n cluster.Name) policy.Ref {
	return policy.Ref{Dialect: policy.Kubernetes, Kind: k8s.Kind, Namespace: n.Namespace, Name: n.Name}
}

// taken is a table's changes by key; what was wrong, or is no more, goes to the
// batch's faults.
func taken[K comparable, V any](b *Batch, table *kube.Table[*V], key func(cluster.Name) K, reason Reason) map[K]*V {
	changes := table.Take()
	values := make(map[K]*V, len(changes))
	for name, change := range changes {
		values[key(name)] = change.Value
		if len(change.Errs) == 0 && !change.Mended {
			continue
		}
		fault := Fault{Object: change.Object, Reason: reason, Errs: change.Errs}
		if change.Value == nil && reason == PartlyEnforced {
			fault.Reason = NotEnforced
		}
		b.Faults = append(b.Faults, fault)
	}
	return values
}

// PodAt looks at every pod: an index of 100,000 addresses for the sake of a few
// lines of log would cost more than the agent's own tables.
func (s *kubeSource) PodAt(addr netip.Addr) (name cluster.Name, found bool) {
	s.pods.Values(func(p *cluster.Pod) {
		if !found && slices.Contains(p.Addrs, addr) {
			name, found = p.Name, true
		}
	})
	return name, found
}

func (s *kubeSource) Status() SourceStatus {
	return SourceStatus{Name: s.host, Synced: s.feed.Synced(), Tables: s.feed.States()}
}
