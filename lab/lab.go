// Package lab is a cluster of network namespaces in which policies are tried
// with real packets: nodes and pods with addresses, listeners on their ports,
// services, DNS, and outside the cluster a host with every other address. Each
// node runs the real engine.
//
// A Lab is brought to a whole desired cluster by Apply, as often as it changes;
// what did not change is not touched, and connections go on. It owns everything
// that it makes. Nothing has a name or a file: namespaces, devices and sockets
// are held by descriptors of this process and are gone with it, however it ends.
//
// Methods may be called by several goroutines; Apply and Probe wait for each
// other. The process needs CAP_NET_ADMIN and CAP_SYS_ADMIN in its user
// namespace; package lab/sandbox gives it one without being root.
package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/dns"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/lab/outside"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// Config is what a lab is like. Its zero value is a routed network with
// policies enforced.
type Config struct {
	Network   network.Mode
	NoEnforce bool         // policies are known and not enforced
	Log       *slog.Logger // nil: none
}

// Lab is a running lab.
type Lab struct {
	config  Config
	net     *network.Network
	outside *outside.Host
	names   *dns.Server

	mu       sync.Mutex // Apply, Probe and Close
	snapshot *cluster.Snapshot
	policies *policy.Set
	nodes    map[string]*node
	pods     map[cluster.Name]*pod
	hidden   map[netip.Addr]bool

	seen sync.RWMutex // what others read of the above
	view View
}

// View is the cluster that a lab has, for reading.
type View struct {
	Snapshot *cluster.Snapshot
	Policies *policy.Set
	Notes    []string // what is not as it would be in a cluster
	nodeOf   map[netip.Addr]string
}

// Start makes a lab with a cluster in it.
func Start(ctx context.Context, config Config, snapshot *cluster.Snapshot, policies *policy.Set) (*Lab, error) {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if err := config.Network.Check(snapshot); err != nil {
		return nil, err
	}
	l := &Lab{
		config: config, snapshot: cluster.NewSnapshot(), policies: policy.NewSet(),
		nodes: map[string]*node{}, pods: map[cluster.Name]*pod{}, hidden: map[netip.Addr]bool{},
	}
	l.names = dns.New(l.snapshot)
	if err := l.start(ctx, snapshot, policies); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) start(ctx context.Context, snapshot *cluster.Snapshot, policies *policy.Set) error {
	begin := time.Now()
	var err error
	if l.net, err = network.New(l.config.Network); err != nil {
		return fmt.Errorf("make network: %w", err)
	}
	if l.outside, err = outside.Open(l.net.Outside(), l.nodeOf); err != nil {
		return err
	}
	if err := l.Apply(ctx, snapshot, policies); err != nil {
		return err
	}
	l.config.Log.Info("lab is up", "nodes", len(snapshot.Nodes), "pods", len(snapshot.Pods), "took", time.Since(begin))
	return nil
}

// View is the cluster as the last Apply left it.
func (l *Lab) View() View {
	l.seen.RLock()
	defer l.seen.RUnlock()
	return l.view
}

// nodeOf is the node that an address is on, itself or a pod's; empty: none.
func (l *Lab) nodeOf(addr netip.Addr) string { return l.View().nodeOf[addr] }

// show lets others see what Apply made.
func (l *Lab) show() {
	view := View{Snapshot: l.snapshot, Policies: l.policies, nodeOf: map[netip.Addr]string{}}
	for _, node := range l.snapshot.Nodes {
		for _, addr := range node.Addrs {
			view.nodeOf[addr] = node.Name
		}
	}
	for _, pod := range l.snapshot.Pods {
		for _, addr := range pod.Addrs {
			view.nodeOf[addr] = pod.Node
		}
	}
	view.Notes = l.notes()
	l.seen.Lock()
	defer l.seen.Unlock()
	l.view = view
}

// Close removes the lab.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, pod := range l.pods {
		errs = append(errs, pod.close())
	}
	for _, node := range l.nodes {
		errs = append(errs, node.close())
	}
	l.pods, l.nodes = nil, nil
	if l.outside != nil {
		errs = append(errs, l.outside.Close())
	}
	if l.net != nil {
		errs = append(errs, l.net.Close())
	}
	return errors.Join(errs...)
}
