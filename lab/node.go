package lab

import (
	"context"
	"errors"
	"fmt"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/conntrack"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/engine"
	"github.com/bulkhead-dev/bulkhead/lab/service"
	"github.com/bulkhead-dev/bulkhead/policy"
	contentproxy "github.com/bulkhead-dev/bulkhead/proxy"
)

// node is a node of the lab.
type node struct {
	object *cluster.Node
	ports  *ports
	proxy  *service.Proxy
	// The engine and what it works with; nil where policies are not enforced.
	engine      *engine.Engine
	dataplane   *nft.Dataplane
	connections *conntrack.Table
	content     *contentproxy.Proxies
}

func (l *Lab) newNode(object *cluster.Node) (*node, error) {
	if err := l.net.AddNode(object); err != nil {
		return nil, err
	}
	n := &node{object: object, ports: newPorts(l.net.Node(object.Name), l.names)}
	if err := l.equip(n); err != nil {
		return nil, errors.Join(fmt.Errorf("start node %s: %w", object.Name, err), n.close(), l.net.RemoveNode(object.Name))
	}
	return n, nil
}

func (l *Lab) equip(n *node) error {
	space := l.net.Node(n.object.Name)
	var err error
	if n.proxy, err = service.Open(space); err != nil || l.config.NoEnforce {
		return err
	}
	if n.dataplane, err = nft.New(nft.Options{NetNS: space.FD(), Proxy: contentproxy.Tables()}); err != nil {
		return err
	}
	if n.connections, err = conntrack.Open(space.FD()); err != nil {
		return err
	}
	n.engine = engine.New(engine.Options{
		Node: n.object.Name, Dataplane: n.dataplane, Connections: n.connections, Log: l.config.Log,
	})
	n.content, err = contentproxy.Open(context.Background(), contentproxy.Options{
		Policy: n.engine, Inside: space.Do, NetNS: space.FD(), Log: l.config.Log,
	})
	return err
}

// enforce returns when the policies are in force.
func (n *node) enforce(ctx context.Context, s *cluster.Snapshot, set *policy.Set) error {
	if n.engine == nil {
		return nil
	}
	return n.engine.Sync(ctx, s, set)
}

func (n *node) close() error {
	errs := []error{n.ports.close()}
	if n.content != nil {
		errs = append(errs, n.content.Close())
	}
	if n.engine != nil {
		n.engine.Close()
	}
	if n.connections != nil {
		errs = append(errs, n.connections.Close())
	}
	if n.dataplane != nil {
		errs = append(errs, n.dataplane.Close())
	}
	return errors.Join(errs...)
}

// pod is a pod of the lab. One on its node's network has no ports of its own.
type pod struct {
	object *cluster.Pod
	ports  *ports
}

func (l *Lab) newPod(object *cluster.Pod) (*pod, error) {
	if err := l.net.AddPod(object); err != nil {
		return nil, err
	}
	p := &pod{object: object}
	if object.HostNetwork {
		return p, nil
	}
	p.ports = newPorts(l.net.Pod(object.Name), l.names)
	if err := p.ports.apply(podPorts(object)); err != nil {
		return nil, errors.Join(fmt.Errorf("start pod %s: %w", object.Name, err), p.close(), l.net.RemovePod(object.Name))
	}
	return p, nil
}

func (p *pod) close() error {
	if p.ports == nil {
		return nil
	}
	return p.ports.close()
}
