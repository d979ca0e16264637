package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane"
	"github.com/bulkhead-dev/bulkhead/dataplane/attr"
)

var _ dataplane.Watcher = (*Dataplane)(nil)

// watcher tells when somebody else changes our table. The kernel announces each
// transaction to whoever listens, together with the socket that it came from.
type watcher struct {
	conn    *netlink.Conn
	changed chan struct{}
	done    chan struct{}
}

// Changed gets a value when somebody else changed our table or removed it.
func (d *Dataplane) Changed() <-chan struct{} { return d.watcher.changed }

// watch listens from now on, but not to what comes from the given socket.
func watch(netns int, own uint32) (*watcher, error) {
	conn, err := dial(netns)
	if err != nil {
		return nil, err
	}
	w := &watcher{conn: conn, changed: make(chan struct{}, 1), done: make(chan struct{})}
	if err := w.ignore(own); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := conn.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		return nil, errors.Join(fmt.Errorf("listen to nftables changes: %w", err), conn.Close())
	}
	go w.run()
	return w, nil
}

// ignore lets the kernel drop what announces our own transactions, before it
// takes room in the socket's buffer: one of 100,000 elements would fill it.
// Announcements of one transaction come together and name one sender, so the
// first message of a packet stands for all.
func (w *watcher) ignore(own uint32) error {
	const offsetPort = 12 // nlmsg_pid, in host byte order; the filter reads network order
	const whole = 1 << 30
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetPort, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(hostOrder(own)), SkipTrue: 1},
		bpf.RetConstant{Val: whole},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return fmt.Errorf("assemble filter of nftables changes: %w", err)
	}
	if err := w.conn.SetBPF(program); err != nil {
		return fmt.Errorf("set filter of nftables changes: %w", err)
	}
	return nil
}

func (w *watcher) run() {
	defer close(w.done)
	for {
		list, err := w.conn.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			// Something was lost; it may have been about us.
			w.signal()
		case err != nil:
			return // closed
		}
		for _, m := range list {
			if aboutUs(m) {
				w.signal()
			}
		}
	}
}

func (w *watcher) signal() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// aboutUs: the first attribute of every announcement is its table's name, except
// for a new generation, which ends each transaction whoever is concerned.
func aboutUs(m netlink.Message) bool {
	if kind := m.Header.Type & 0xff; kind == unix.NFT_MSG_NEWGEN || len(m.Data) < headerLen {
		return false
	}
	return m.Data[0] == unix.NFPROTO_INET && attr.Text(m.Data[headerLen:], unix.NFTA_TABLE_NAME) == TableName
}

func (w *watcher) close() error {
	err := w.conn.Close()
	<-w.done
	return err
}
