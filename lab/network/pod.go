package network

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/space"
)

// pod is a pod's end of the network.
type pod struct {
	space *space.Space
	own   *host // nil for a pod on its node's network
	node  *node
	addrs []netip.Addr
	port  int  // the node's device
	down  line // from the node to the pod, in a routed network
}

func (p *pod) close() error {
	if p.own == nil {
		return nil
	}
	return p.own.close()
}

// AddPod makes a pod's namespace and connects it to its node, which must be
// there.
func (n *Network) AddPod(c *cluster.Pod) error {
	n.mu.Lock()
	node, ok := n.nodes[c.Node]
	n.mu.Unlock()
	if !ok {
		return fmt.Errorf("connect pod %s: no node %q", c.Name, c.Node)
	}
	added := &pod{space: node.space, node: node}
	if !c.HostNetwork {
		if err := n.newPod(added, c); err != nil {
			return fmt.Errorf("connect pod %s: %w", c.Name, err)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pods[c.Name] = added
	return nil
}

func (n *Network) newPod(added *pod, c *cluster.Pod) error {
	var err error
	if added.own, err = newHost(); err != nil {
		return err
	}
	added.space, added.addrs = added.own.space, n.usable(c.Addrs)
	if err := n.connectPod(added, c); err != nil {
		return errors.Join(err, added.close())
	}
	return nil
}

func (n *Network) connectPod(added *pod, c *cluster.Pod) error {
	if err := added.own.settle(n.settings(endpoint)...); err != nil {
		return err
	}
	connect := n.connectRouted
	if n.mode == Bridged {
		connect = n.connectBridged
	}
	if err := connect(added, c.String()); err != nil {
		return err
	}
	return n.publish(added.node.down, added.addrs)
}

func (n *Network) connectRouted(added *pod, alias string) error {
	down, up, err := n.draw(added.node.host, n.device("pod"), alias, added.own)
	if err != nil {
		return err
	}
	added.port, added.down = down.index, down
	if err := up.take(hosts(added.addrs)...); err != nil {
		return err
	}
	if err := up.route(n.everything()...); err != nil {
		return err
	}
	return down.route(hosts(added.addrs)...)
}

// RemovePod disconnects a pod. Its namespace stays as long as something in it
// does.
func (n *Network) RemovePod(name cluster.Name) error {
	n.mu.Lock()
	gone, ok := n.pods[name]
	delete(n.pods, name)
	n.mu.Unlock()
	if !ok {
		return fmt.Errorf("disconnect pod %s: no such pod", name)
	}
	if gone.own == nil {
		return nil
	}
	err := errors.Join(
		n.withdraw(gone.node.down, gone.addrs),
		removeDevice(gone.node.links, gone.port),
		gone.close())
	if err != nil {
		return fmt.Errorf("disconnect pod %s: %w", name, err)
	}
	return nil
}

// removeDevice removes a veth pair, at once and with its routes.
func removeDevice(h *netlink.Handle, index int) error {
	if err := h.LinkDel(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}); err != nil {
		return fmt.Errorf("remove device %d: %w", index, err)
	}
	return nil
}
