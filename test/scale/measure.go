package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"

	"golang.org/x/sync/errgroup"
)

// Targets at 100,000 pods, 10,000 policies and 250 pods of the node.
const (
	startTarget  = 10 * time.Second
	memoryTarget = 300 // MiB
)

// measureScale starts the agent and lets the cluster change.
func (b *bench) measureScale(ctx context.Context) error {
	server := b.plane.APIServer.Status().PID
	before, err := usageOf(server)
	if err != nil {
		return err
	}
	took, err := b.startAgent(ctx)
	if err != nil {
		return err
	}
	pid := b.agent.Status().PID
	started, err := usageOf(pid)
	if err != nil {
		return err
	}
	b.report.duration("start to enforced", took, startTarget)
	b.report.add("start: agent's CPU time", "%.1f s", started.cpu.Seconds())
	b.report.add("start: received from the API server", "%.1f MB", started.received/1e6)
	after, err := usageOf(server)
	if err != nil {
		return err
	}
	b.report.add("start: API server's CPU time", "%.1f s", (after.cpu - before.cpu).Seconds())
	b.report.add("API server's memory before and after", "%.0f and %.0f MiB", before.resident, after.resident)
	b.report.memory("memory after the start", started.resident)
	for _, c := range changes {
		found, err := b.latencies(ctx, c)
		if err != nil {
			return err
		}
		b.report.latency(c.name, found, c.target)
	}
	if err := b.churn(ctx, pid); err != nil {
		return err
	}
	if err := b.flush(ctx); err != nil {
		return err
	}
	return b.rest(ctx, pid)
}

// churn is many pods that change elsewhere.
const churn = 2_000

func (b *bench) churn(ctx context.Context, pid int) error {
	before, err := usageOf(pid)
	if err != nil {
		return err
	}
	began := time.Now()
	clients, ctx := errgroup.WithContext(ctx)
	clients.SetLimit(8)
	relabel := []func(context.Context, *bench, int) error{relabelPod("node-2", "app-1"), relabelPod("node-2", "app-2")}
	for n := range churn {
		clients.Go(func() error { return relabel[n/b.times%2](ctx, b, n%b.times) })
	}
	if err := clients.Wait(); err != nil {
		return err
	}
	took := time.Since(began)
	if err := b.kernel.quiet(context.WithoutCancel(ctx), time.Second); err != nil {
		return err
	}
	after, err := usageOf(pid)
	if err != nil {
		return err
	}
	b.report.add("pod changes while that was measured", "%.0f a second", churn/took.Seconds())
	b.report.add("agent's CPU time for 1,000 pod changes", "%.2f s", (after.cpu-before.cpu).Seconds()/churn*1000)
	b.report.add("received for a pod's change", "%.0f bytes", (after.received-before.received)/churn)
	return nil
}

// flush lets somebody else empty the node's tables, where the kernel lets him.
func (b *bench) flush(ctx context.Context) error {
	nft := func(args ...string) error { return b.view.Do(exec.Command("nft", args...).Run) }
	if err := nft("flush", "ruleset"); err != nil {
		return fmt.Errorf("flush tables: %w", err)
	}
	if nft("list", "map", "inet", "bulkhead", "wider") == nil {
		b.report.add("tables flushed by somebody else", "the kernel spares them: they have an owner")
		return nil
	}
	if err := b.kernel.quiet(ctx, 5*time.Second); err != nil {
		return err
	}
	worst := time.Duration(0)
	for range 3 {
		took, err := b.latency(ctx, func() error {
			return nft("flush", "ruleset")
		})
		if err != nil {
			return fmt.Errorf("flush tables: %w", err)
		}
		worst = max(worst, took)
		if err := b.kernel.quiet(ctx, 2*time.Second); err != nil {
			return err
		}
	}
	b.report.add("tables flushed by somebody else: back after at most", "%.0f ms", float64(worst)/1e6)
	return nil
}

// rest is how the agent is when nothing happens.
func (b *bench) rest(ctx context.Context, pid int) error {
	const while = 10 * time.Second
	if err := b.kernel.quiet(ctx, while); err != nil {
		return err
	}
	u, err := usageOf(pid)
	if err != nil {
		return err
	}
	connections, err := established(pid, 6443)
	if err != nil {
		return err
	}
	b.report.memory("memory after all changes", u.resident)
	b.report.memory("memory at its peak", u.peak)
	b.report.add("connections to the API server", "%d", connections)
	return nil
}
