// Package audit reads what audited classes let through and would have denied.
//
// The tables of package dataplane/nft send the head of such a packet to a netlink
// log group (nflog), once for a connection: an allowed connection's packets pass
// by its label. If more come than are read, the kernel drops the rest, and a
// Listener counts that it did.
//
// A Listener is used by one goroutine, but for Close.
package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/attr"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Denial is a packet that a class would have denied.
type Denial struct {
	Direction traffic.Direction
	Class     plan.ClassID
	From, To  netip.Addr // as in the packet: those of a reply are swapped
	Protocol  traffic.Protocol
	FromPort  uint16 // zero for a protocol without ports, and for a later fragment
	ToPort    uint16
}

// Constants of linux/netfilter/nfnetlink_log.h.
const (
	subsystem    = 4 // NFNL_SUBSYS_ULOG
	msgPacket    = subsystem << 8
	msgConfig    = subsystem<<8 | 1
	cfgCommand   = 1 // NFULA_CFG_CMD
	cfgMode      = 2 // NFULA_CFG_MODE
	cfgTimeout   = 4 // NFULA_CFG_TIMEOUT
	commandBind  = 1 // NFULNL_CFG_CMD_BIND
	copyPacket   = 2 // NFULNL_COPY_PACKET
	attrPayload  = 9 // NFULA_PAYLOAD
	attrPrefix   = 10
	headerLen    = 4  // struct nfgenmsg
	flushTimeout = 10 // hundredths of a second that the kernel may keep packets together
)

// receiveBuffer is room for some thousand packets between two reads.
const receiveBuffer = 4 << 20

// ErrClosed ends Next after Close.
var ErrClosed = errors.New("listener is closed")

// Listener hears of denials.
type Listener struct {
	conn   *netlink.Conn
	waits  []Denial
	mu     sync.Mutex
	missed uint64
	closed bool
}

// Listen begins to hear in the network namespace of that descriptor; zero is the
// process's own. Only one listener hears at a time.
func Listen(netns int) (*Listener, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, fmt.Errorf("open netfilter log: %w", err)
	}
	l := &Listener{conn: conn}
	if err := l.bind(); err != nil {
		return nil, errors.Join(fmt.Errorf("listen to netfilter log group %d: %w", nft.LogGroup, err), conn.Close())
	}
	return l, nil
}

func (l *Listener) bind() error {
	if err := l.conn.SetReadBuffer(receiveBuffer); err != nil {
		return err
	}
	if err := l.configure(cfgCommand, []byte{commandBind}); err != nil {
		return err
	}
	// A range of 0 is all that the rule's snaplen gives.
	if err := l.configure(cfgMode, []byte{0, 0, 0, 0, copyPacket, 0}); err != nil {
		return err
	}
	return l.configure(cfgTimeout, binary.BigEndian.AppendUint32(nil, flushTimeout))
}

func (l *Listener) configure(kind uint16, value []byte) error {
	var attrs attr.List
	attrs.Bytes(kind, value)
	head := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0}, nft.LogGroup)
	_, err := l.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: msgConfig, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append(head, attrs...),
	})
	return err
}

// Next waits for a denial.
func (l *Listener) Next() (Denial, error) {
	for len(l.waits) == 0 {
		messages, err := l.conn.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			l.mu.Lock()
			l.missed++
			l.mu.Unlock()
			continue
		case err != nil && l.isClosed():
			return Denial{}, ErrClosed
		case err != nil:
			return Denial{}, fmt.Errorf("read netfilter log: %w", err)
		}
		for _, m := range messages {
			if d, ok := parse(m); ok {
				l.waits = append(l.waits, d)
			}
		}
	}
	d := l.waits[0]
	l.waits = l.waits[1:]
	return d, nil
}

// Missed is how often the kernel dropped denials because nobody read them.
func (l *Listener) Missed() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.missed
}

func (l *Listener) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Close ends Next.
func (l *Listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	return l.conn.Close()
}

func parse(m netlink.Message) (Denial, bool) {
	if m.Header.Type != msgPacket || len(m.Data) < headerLen {
		return Denial{}, false
	}
	attrs := m.Data[headerLen:]
	direction, class, ok := nft.ParseClass(attr.Text(attrs, attrPrefix))
	if !ok {
		return Denial{}, false
	}
	d := Denial{Direction: direction, Class: class}
	return d, d.readPacket(attr.Find(attrs, attrPayload))
}
