package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulkhead-dev/bulkhead/compile"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

const (
	noneName  = "none"
	plainName = "conntrack"
)

func bulkheadName(policies int) string { return fmt.Sprintf("bulkhead-%d", policies) }

// selectedName is of the variant where all policies select the server.
func selectedName(policies int) string { return fmt.Sprintf("bulkhead-%d-selected", policies) }

// mixedName is of the variant whose policies are of all dialects and tiers.
func mixedName(policies int) string { return fmt.Sprintf("bulkhead-%d-mixed", policies) }

// node is the node that the router plays.
const node = "node-0"

// build makes the paths of all variants.
func build(ctx context.Context, o options) ([]*path, error) {
	var paths []*path
	add := func(name string, policies int, load func(context.Context, *path) error) error {
		if !o.wants(name) {
			return nil
		}
		start := time.Now()
		p, err := newPath(name, policies)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		paths = append(paths, p)
		if err := load(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if p.serving, err = serve(p.server); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		say("%-18s ready in %s", name, time.Since(start).Round(time.Millisecond))
		return nil
	}
	err := errors.Join(
		add(noneName, 0, func(context.Context, *path) error { return nil }),
		add(plainName, 0, loadPlain))
	for _, n := range o.policies {
		if err != nil {
			return paths, err
		}
		w := newWorld(o.pods, n)
		err = errors.Join(
			add(bulkheadName(n), n, func(ctx context.Context, p *path) error { return loadBulkhead(ctx, p, w) }),
			add(selectedName(n), n, func(ctx context.Context, p *path) error {
				defer func() { p.update = nil }() // timed where the policies are spread
				return loadBulkhead(ctx, p, newSelectedWorld(o.pods, n))
			}),
			add(mixedName(n), n, func(ctx context.Context, p *path) error {
				defer func() { p.update = nil }()
				return loadBulkhead(ctx, p, newMixedWorld(o.pods, n))
			}),
			add(fmt.Sprintf("iptables-%d", n), n, func(ctx context.Context, p *path) error { return loadLinear(ctx, p, w) }))
	}
	return paths, err
}

// loadPlain is connection tracking, and a firewall that lets everything pass
// with as few rules as one can have.
func loadPlain(ctx context.Context, p *path) error {
	return p.command(ctx, `
table inet plain {
	chain forward {
		type filter hook forward priority filter
		ct state established,related accept
		accept
	}
}
`, "nft", "-f", "-")
}

// loadBulkhead is what an agent does at its start.
func loadBulkhead(ctx context.Context, p *path, w *gen.World) error {
	c := compile.New(node)
	c.SetAll(w.Snapshot, w.Set)
	c.Commit()
	packet := plan.Packet{From: clientAddr, To: serverAddr, Protocol: traffic.TCP, Port: tcpPort}
	if c.Plan().Trace(packet) != traffic.Allow {
		return errors.New("the policies do not let the client reach the server")
	}
	packet.Port++
	if c.Plan().Trace(packet) != traffic.Deny {
		return errors.New("the policies let everything pass")
	}
	d, err := nft.New(nft.Options{NetNS: p.router.FD()})
	if err != nil {
		return err
	}
	p.closes = append(p.closes, d.Close)
	start := time.Now()
	if err := d.Apply(ctx, c.Plan()); err != nil {
		return err
	}
	say("%-18s %d addresses, %d classes, loaded in %s", p.name, len(c.Plan().Addrs), len(c.Plan().Classes), time.Since(start).Round(time.Millisecond))
	p.update = func(ctx context.Context, n int) (*updates, error) { return timeUpdates(ctx, d, c, w, n) }
	return nil
}
