package network

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/bulkhead-dev/bulkhead/lab/space"
)

// host is a namespace with a netlink socket in it.
type host struct {
	space *space.Space
	links *netlink.Handle
}

func newHost() (*host, error) {
	s, err := space.New()
	if err != nil {
		return nil, err
	}
	links, err := s.Netlink()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &host{s, links}, nil
}

// settle writes the namespace's settings and starts its loopback device. It
// comes before all other devices, which take their defaults from there.
func (h *host) settle(settings ...space.Sysctl) error {
	if err := h.space.Set(settings...); err != nil {
		return err
	}
	return h.up("lo")
}

func (h *host) up(device string) error {
	link, err := h.links.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find device %s: %w", device, err)
	}
	if err := h.links.LinkSetUp(link); err != nil {
		return fmt.Errorf("start device %s: %w", device, err)
	}
	return nil
}

func (h *host) close() error {
	h.links.Close()
	return h.space.Close()
}

// role is what a namespace does with packets.
type role uint8

const (
	endpoint role = iota
	router
)

// settings are the kernel settings of a namespace. They do not rely on defaults:
// a new namespace may inherit the machine's own (net.core.devconf_inherit_init_net).
func (n *Network) settings(r role) []space.Sysctl {
	forward := "0"
	if r == router {
		forward = "1"
	}
	settings := []space.Sysctl{
		{Path: "ipv4/ip_forward", Value: forward},
		{Path: "ipv4/conf/all/rp_filter", Value: "0"},
		{Path: "ipv4/conf/default/rp_filter", Value: "0"},
		{Path: "ipv4/conf/all/send_redirects", Value: "0"},
		{Path: "ipv4/conf/default/send_redirects", Value: "0"},
		// A closed UDP port answers with an ICMP error. The prober takes it for
		// an answer, so none may be held back.
		{Path: "ipv4/icmp_ratemask", Value: "0"},
		{Path: "ipv4/ping_group_range", Value: "0 0"},
	}
	if !n.ipv6 {
		return settings
	}
	return append(settings,
		space.Sysctl{Path: "ipv6/conf/all/disable_ipv6", Value: "0"},
		space.Sysctl{Path: "ipv6/conf/default/disable_ipv6", Value: "0"},
		space.Sysctl{Path: "ipv6/conf/all/forwarding", Value: forward},
		space.Sysctl{Path: "ipv6/conf/default/forwarding", Value: forward},
		space.Sysctl{Path: "ipv6/conf/default/accept_dad", Value: "0"},
		space.Sysctl{Path: "ipv6/conf/default/accept_ra", Value: "0"},
		space.Sysctl{Path: "ipv6/conf/default/router_solicitations", Value: "0"},
		space.Sysctl{Path: "ipv6/icmp/ratelimit", Value: "0"},
	)
}
