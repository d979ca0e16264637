package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// monitor notes when the agent's transactions are in force: the kernel announces
// each, when it is, with the name of the program that it came from.
type monitor struct {
	conn *netlink.Conn
	done chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed at the next commit
	commits []time.Time   // of the agent, since the last forget
}

func watchKernel(view ns.View) (*monitor, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: view.Net.FD()})
	if err != nil {
		return nil, fmt.Errorf("listen to nftables: %w", err)
	}
	m := &monitor{conn: conn, done: make(chan struct{}), changed: make(chan struct{})}
	if err := errors.Join(onlyGenerations(conn), conn.JoinGroup(unix.NFNLGRP_NFTABLES)); err != nil {
		return nil, errors.Join(fmt.Errorf("listen to nftables: %w", err), conn.Close())
	}
	go m.run()
	return m, nil
}

// onlyGenerations drops all announcements but those of a whole transaction: of
// one with 100,000 elements there would be as many.
func onlyGenerations(conn *netlink.Conn) error {
	const offsetType = 4
	kind := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN))
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetType, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(kind), SkipFalse: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	return conn.SetBPF(program)
}

func (m *monitor) run() {
	defer close(m.done)
	for {
		list, err := m.conn.Receive()
		if err != nil {
			return // closed
		}
		at := time.Now()
		for _, message := range list {
			if fromAgent(message.Data) {
				m.note(at)
			}
		}
	}
}

// fromAgent looks for the sender's name, which is the first 15 bytes of its
// program's.
func fromAgent(data []byte) bool {
	const header, procName = 4, 3 // struct nfgenmsg; NFTA_GEN_PROC_NAME
	attributes, err := netlink.UnmarshalAttributes(data[min(header, len(data)):])
	if err != nil {
		return false
	}
	for _, a := range attributes {
		if a.Type == procName {
			return strings.HasPrefix(string(a.Data), "bulkhead")
		}
	}
	return false
}

func (m *monitor) note(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.commits = append(m.commits, at)
	close(m.changed)
	m.changed = make(chan struct{})
}

// after is the first commit after a moment.
func (m *monitor) after(ctx context.Context, moment time.Time) (time.Time, error) {
	for {
		m.mu.Lock()
		changed := m.changed
		for _, at := range m.commits {
			if at.After(moment) {
				m.commits = nil
				m.mu.Unlock()
				return at, nil
			}
		}
		m.commits = nil
		m.mu.Unlock()
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("wait for the agent's commit: %w", ctx.Err())
		case <-changed:
		}
	}
}

// quiet returns when the agent has committed nothing for a while.
func (m *monitor) quiet(ctx context.Context, while time.Duration) error {
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(while):
			return nil
		case <-changed:
		}
	}
}

func (m *monitor) close() error {
	err := m.conn.Close()
	<-m.done
	return err
}
