package nft

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/attr"
)

// The kernel takes a transaction as one message and answers it in one go, so
// both must fit into the socket's buffers. A table of 100,000 addresses is 5 MB.
// Without CAP_NET_ADMIN in the first user namespace the limits are
// net.core.wmem_max and rmem_max.
const (
	sendBuffer    = 128 << 20
	receiveBuffer = 16 << 20
	// messageBuffer is more than the 32 KB in which the kernel lists what it has,
	// once a reader has shown that it takes them.
	messageBuffer = 64 << 10
)

func dial(netns int) (*netlink.Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns, MessageBufferSize: messageBuffer})
	if err != nil {
		return nil, fmt.Errorf("open netfilter socket: %w", err)
	}
	for _, grow := range []func() error{
		func() error { return conn.SetWriteBuffer(sendBuffer) },
		func() error { return conn.SetReadBuffer(receiveBuffer) },
	} {
		if err := grow(); err != nil {
			return nil, errors.Join(fmt.Errorf("set size of socket buffer: %w", err), conn.Close())
		}
	}
	return conn, nil
}

// commit sends a transaction and waits for the kernel's word. Only the last
// message asks for an answer: the kernel answers each message that fails anyway,
// and thousands of answers would not fit into a small receive buffer.
func commit(ctx context.Context, conn *netlink.Conn, t *transaction, done bool) error {
	if len(t.messages) == 0 {
		return nil
	}
	messages := make([]netlink.Message, 0, len(t.messages)+2)
	messages = append(messages, batchMessage(unix.NFNL_MSG_BATCH_BEGIN))
	messages = append(messages, t.messages...)
	messages[len(messages)-1].Header.Flags |= netlink.Acknowledge
	if done {
		messages = append(messages, batchMessage(unix.NFNL_MSG_BATCH_END))
	}
	if err := setDeadline(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.SendMessages(messages); err != nil {
		return explainSend(err, messages)
	}
	_, err := conn.Receive()
	return err
}

func batchMessage(kind netlink.HeaderType) netlink.Message {
	const resID = unix.NFNL_SUBSYS_NFTABLES // big endian
	return netlink.Message{
		Header: netlink.Header{Type: kind, Flags: netlink.Request},
		Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, resID},
	}
}

func explainSend(err error, messages []netlink.Message) error {
	if !errors.Is(err, unix.EMSGSIZE) {
		return err
	}
	size := 0
	for _, m := range messages {
		size += unix.NLMSG_HDRLEN + len(m.Data)
	}
	return fmt.Errorf("transaction of %d bytes does not fit into the socket's send buffer (raise net.core.wmem_max): %w", size, err)
}

// setDeadline makes a context's end, or none, the socket's.
func setDeadline(ctx context.Context, conn *netlink.Conn) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline() // the zero time: none
	if err := conn.SetDeadline(deadline); err != nil {
		return fmt.Errorf("set deadline of netfilter socket: %w", err)
	}
	return nil
}

// dumpAttempts is how often a list is asked for again that changed while the
// kernel wrote it.
const dumpAttempts = 5

// dump asks for a list of objects. The kernel counts objects of other tables too
// when it goes on with a list, so one that others changed meanwhile is asked for
// again. If that does not help, what was missed shows when the result of Apply
// is checked.
func dump(ctx context.Context, conn *netlink.Conn, kind uint16, body attr.List) ([]netlink.Message, error) {
	if err := setDeadline(ctx, conn); err != nil {
		return nil, err
	}
	request := netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind),
			Flags: netlink.Request | netlink.Dump,
		},
		Data: append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, body...),
	}
	for attempt := 1; ; attempt++ {
		list, err := conn.Execute(request)
		if err != nil || attempt == dumpAttempts || !slices.ContainsFunc(list, interrupted) {
			return list, err
		}
	}
}

func interrupted(m netlink.Message) bool { return m.Header.Flags&netlink.DumpInterrupted != 0 }
