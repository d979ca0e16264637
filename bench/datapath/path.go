package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/bulkhead-dev/bulkhead/lab/space"
)

// path is a client, a router and a server, with a variant's tables in the
// router.
type path struct {
	name     string
	policies int // zero: the variant has none
	client   *space.Space
	router   *space.Space
	server   *space.Space
	serving  *serving
	// update times changes of one pod; nil where the variant has none.
	update func(ctx context.Context, n int) (*updates, error)
	closes []func() error
}

// The two ends are pods of the same node. Each is a /32 behind a veth pair, as
// in a routed pod network.
var (
	clientAddr = netip.MustParseAddr("10.255.255.1")
	serverAddr = netip.MustParseAddr("10.255.255.2")
)

// The two ends of every veth pair have the same hardware addresses and know each
// other, so that nothing has to be resolved.
var (
	routerMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	podMAC    = net.HardwareAddr{2, 0, 0, 0, 0, 2}
	gateway   = net.IPv4(169, 254, 1, 1)
)

func newPath(name string, policies int) (*path, error) {
	p := &path{name: name, policies: policies}
	for _, s := range []**space.Space{&p.client, &p.router, &p.server} {
		made, err := space.New()
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		*s = made
		p.closes = append(p.closes, made.Close)
	}
	if err := p.connect(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *path) connect() error {
	err := p.router.Set(
		space.Sysctl{Path: "ipv4/ip_forward", Value: "1"},
		space.Sysctl{Path: "ipv4/conf/all/rp_filter", Value: "0"},
		space.Sysctl{Path: "ipv4/conf/default/rp_filter", Value: "0"})
	if err != nil {
		return err
	}
	for _, end := range []struct {
		name  string
		space *space.Space
		addr  netip.Addr
	}{{"client", p.client, clientAddr}, {"server", p.server, serverAddr}} {
		if err := p.attach(end.name, end.space, end.addr); err != nil {
			return fmt.Errorf("connect %s: %w", end.name, err)
		}
	}
	// Ports for as many connections as a run opens, and none that waits a minute.
	return p.client.Set(
		space.Sysctl{Path: "ipv4/ip_local_port_range", Value: "10000 65535"},
		space.Sysctl{Path: "ipv4/tcp_tw_reuse", Value: "1"})
}

func (p *path) attach(device string, s *space.Space, addr netip.Addr) error {
	router, err := p.router.Netlink()
	if err != nil {
		return err
	}
	defer router.Close()
	pod, err := s.Netlink()
	if err != nil {
		return err
	}
	defer pod.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = device, routerMAC
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerHardwareAddr: podMAC, PeerNamespace: netlink.NsFd(s.FD())}
	if err := router.LinkAdd(veth); err != nil {
		return err
	}
	eth0, err := pod.LinkByName("eth0")
	if err != nil {
		return err
	}
	host := &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(32, 32)}
	index := eth0.Attrs().Index
	return errors.Join(
		router.LinkSetUp(veth), pod.LinkSetUp(eth0),
		pod.AddrAdd(eth0, &netlink.Addr{IPNet: host}),
		pod.NeighSet(&netlink.Neigh{LinkIndex: index, IP: gateway, HardwareAddr: routerMAC, State: netlink.NUD_PERMANENT}),
		pod.RouteAdd(&netlink.Route{LinkIndex: index, Gw: gateway, Flags: int(netlink.FLAG_ONLINK)}),
		router.NeighSet(&netlink.Neigh{LinkIndex: veth.Index, IP: host.IP, HardwareAddr: podMAC, State: netlink.NUD_PERMANENT}),
		router.RouteAdd(&netlink.Route{LinkIndex: veth.Index, Dst: host, Scope: netlink.SCOPE_LINK}))
}

// command runs a program in the router, with its input.
func (p *path) command(ctx context.Context, input string, name string, args ...string) error {
	return p.router.Do(func() error {
		c := exec.CommandContext(ctx, name, args...)
		c.Stdin = strings.NewReader(input)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
		}
		return nil
	})
}

func (p *path) close() error {
	if p.serving != nil {
		p.serving.close()
	}
	var err error
	for i := range p.closes {
		err = errors.Join(err, p.closes[len(p.closes)-1-i]())
	}
	return err
}
