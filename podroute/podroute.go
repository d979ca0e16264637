// Package podroute sees which addresses a node leads to its pods: those with a
// route of their own to a veth pair, as pod networks make it that give every pod
// a link, whoever chose the address.
//
// Watch owns its sockets. It may be called by several goroutines.
package podroute

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/namespace"
)

// Watch tells the addresses, sorted, at once and whenever they changed, until the
// context ends. The descriptor is of a network namespace; zero is the process's
// own.
func Watch(ctx context.Context, fd int, tell func([]netip.Prefix)) error {
	ns, err := namespace.Open(fd)
	if err != nil {
		return err
	}
	defer ns.Close()
	routes, err := netlink.NewHandleAt(ns.NsHandle(), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open route socket: %w", err)
	}
	defer routes.Close()
	// A subscription ends with an error when the kernel had more to tell than
	// fits; the next one begins with a list.
	for ctx.Err() == nil {
		if err := watch(ctx, ns.NsHandle(), routes, tell); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// watch returns nil when the subscription has ended.
func watch(ctx context.Context, ns netns.NsHandle, routes *netlink.Handle, tell func([]netip.Prefix)) error {
	updates, done := make(chan netlink.RouteUpdate, 64), make(chan struct{})
	options := netlink.RouteSubscribeOptions{Namespace: &ns, ErrorCallback: func(error) {}}
	if err := netlink.RouteSubscribeWithOptions(updates, done, options); err != nil {
		return fmt.Errorf("watch routes: %w", err)
	}
	defer func() {
		close(done)
		for range updates { // until the subscription has let go of it
		}
	}()
	var told []netip.Prefix
	for first := true; ; first = false {
		now, err := list(routes)
		if err != nil {
			return err
		}
		if first || !slices.Equal(now, told) {
			tell(now)
			told = now
		}
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-updates:
			if !open {
				return nil
			}
			drain(updates)
		}
	}
}

// drain takes what came meanwhile: one list answers all of it.
func drain(updates <-chan netlink.RouteUpdate) {
	for {
		select {
		case _, open := <-updates:
			if !open {
				return
			}
		default:
			return
		}
	}
}

func list(h *netlink.Handle) ([]netip.Prefix, error) {
	links, err := h.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list network devices: %w", err)
	}
	veth := map[int]bool{}
	for _, l := range links {
		veth[l.Attrs().Index] = l.Type() == "veth"
	}
	routes, err := h.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var found []netip.Prefix
	for _, r := range routes {
		if p, ok := single(r); ok && veth[r.LinkIndex] && !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, netip.Prefix.Compare)
	return found, nil
}

// single is the address of a route to one address that is on the link: with no
// gateway, or one that only that link knows. The kernel's own routes are to the
// node's addresses.
func single(r netlink.Route) (netip.Prefix, bool) {
	if r.Dst == nil || r.Gw != nil && !r.Gw.IsLinkLocalUnicast() || r.Type != unix.RTN_UNICAST || r.Protocol == unix.RTPROT_KERNEL {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(r.Dst.IP)
	ones, bits := r.Dst.Mask.Size()
	addr = addr.Unmap()
	if !ok || ones != bits || bits != addr.BitLen() || addr.IsLinkLocalUnicast() || addr.IsMulticast() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, bits), true
}
