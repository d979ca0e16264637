package agent

import (
	"context"
	"log/slog"
	"maps"
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
	dialects   *dialects
	// What is followed on demand.
	accounts   *kube.Table[*cluster.ServiceAccount]
	otherNodes *kube.Table[*cluster.Node]
	services   *kube.Services

	needs *needs
	held  Batch // what was taken and not given yet
	begun bool  // the first batch was given
}

// FromKube is a source that follows an API server, for the agent of a node. What
// is understood of policies that have a status goes to the conditions; nil: nobody
// is told.
func FromKube(client *kube.Client, node string, conditions *kube.Conditions, log *slog.Logger) Source {
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
		dialects:   newDialects(feed, conditions),
		accounts:   feed.ServiceAccounts(),
		otherNodes: feed.OtherNodes(node),
		services:   feed.Services(),
		needs:      newNeeds(),
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
		// Later a definition may come and not be synced yet; nobody waits for it.
		if !s.begun && !s.feed.Synced() {
			continue
		}
		since := s.feed.Since()
		batch := s.take()
		batch.Since = since
		s.held.merge(batch)
		if s.wanting() {
			continue
		}
		if !s.held.Empty() || !s.begun {
			s.begun = true
			given := s.held
			s.held = Batch{}
			return given, nil
		}
	}
}

func (s *kubeSource) take() Batch {
	var b Batch
	name := func(n cluster.Name) cluster.Name { return n }
	b.Pods = taken(&b, s.pods, name, NotUnderstood)
	b.Namespaces = taken(&b, s.namespaces, clusterWide, NotUnderstood)
	b.Nodes = taken(&b, s.nodes, clusterWide, NotUnderstood)
	maps.Copy(b.Nodes, taken(&b, s.otherNodes, clusterWide, NotUnderstood))
	b.Accounts = taken(&b, s.accounts, name, NotUnderstood)
	b.Policies = taken(&b, s.policies, networkPolicy, PartlyEnforced)
	b.Services = s.services.Take()
	s.dialects.take(&b)
	return b
}

// wanting follows what the policies need from now on, and tells whether some of
// it is still to come: without it their rules would not match.
func (s *kubeSource) wanting() bool {
	for ref, p := range s.held.Policies {
		s.needs.set(ref, p)
	}
	s.accounts.Want(s.needs.has(needAccounts))
	s.otherNodes.Want(s.needs.has(needNodes))
	s.services.Want(s.needs.has(needServices))
	for _, state := range append(s.services.States(), s.accounts.State(), s.otherNodes.State()) {
		if !state.Synced && state.Lost == "" {
			return true
		}
	}
	return false
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
