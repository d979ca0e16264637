package network

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// node is a node's end of the network.
type node struct {
	*host
	addrs  []netip.Addr
	down   line // from the fabric to the node
	up     line // from the node to the fabric
	bridge *bridge
}

// AddNode makes a node's namespace and connects it.
func (n *Network) AddNode(c *cluster.Node) error {
	added, err := n.newNode(c)
	if err != nil {
		return fmt.Errorf("connect node %s: %w", c.Name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[c.Name] = added
	return nil
}

func (n *Network) newNode(c *cluster.Node) (*node, error) {
	h, err := newHost()
	if err != nil {
		return nil, err
	}
	added := &node{host: h, addrs: n.usable(c.Addrs)}
	if err := n.connectNode(added, c); err != nil {
		return nil, errors.Join(err, added.close())
	}
	return added, nil
}

func (n *Network) connectNode(added *node, c *cluster.Node) error {
	if err := added.settle(n.settings(router)...); err != nil {
		return err
	}
	var err error
	added.down, added.up, err = n.draw(n.fabric, n.device("node"), c.Name, added.host)
	if err != nil {
		return err
	}
	if err := added.up.take(hosts(added.addrs)...); err != nil {
		return err
	}
	if err := added.up.route(n.everything()...); err != nil {
		return err
	}
	if n.mode == Bridged {
		if added.bridge, err = n.newBridge(added.host, c.PodCIDRs); err != nil {
			return err
		}
	}
	return n.publish(added.down, added.addrs)
}

// RemoveNode disconnects a node; its pods must be gone.
func (n *Network) RemoveNode(name string) error {
	n.mu.Lock()
	gone, ok := n.nodes[name]
	delete(n.nodes, name)
	n.mu.Unlock()
	if !ok {
		return fmt.Errorf("disconnect node %s: no such node", name)
	}
	err := errors.Join(
		n.withdraw(gone.down, gone.addrs),
		removeDevice(n.fabric.links, gone.down.index),
		gone.close())
	if err != nil {
		return fmt.Errorf("disconnect node %s: %w", name, err)
	}
	return nil
}
