// Package sctp speaks SCTP on kernels that have no SCTP sockets, over raw IP
// sockets, so that a pod's SCTP is seen on the wire and by connection tracking
// as what it is.
//
// The protocol itself is pion/sctp, which was made for tunnels and always uses
// the same two port numbers; a wire puts the real ones into the packets. The
// caller needs CAP_NET_RAW. Do not use it on a kernel with SCTP sockets
// (Supported), which would answer the same packets a second time.
package sctp

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	protocolNumber = 132
	tunnelPort     = 5000 // the port number pion/sctp uses on both sides
	headerSize     = 12
	chunkInit      = 1
	chunkAbort     = 6
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Supported says whether the kernel has SCTP sockets.
func Supported() bool {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, protocolNumber)
	if err != nil {
		return false
	}
	syscall.Close(fd)
	return true
}

// A packet is an SCTP packet as it is on the wire.
type packet []byte

func (p packet) source() uint16      { return binary.BigEndian.Uint16(p[0:]) }
func (p packet) destination() uint16 { return binary.BigEndian.Uint16(p[2:]) }
func (p packet) tag() uint32         { return binary.BigEndian.Uint32(p[4:]) }
func (p packet) firstChunk() byte    { return p[headerSize] }

// valid says whether the packet is whole (RFC 9260, section 6.8).
func (p packet) valid() bool {
	return len(p) >= headerSize+4 && p.checksum() == binary.LittleEndian.Uint32(p[8:])
}

func (p packet) checksum() uint32 {
	sum := crc32.Update(0, castagnoli, p[:8])
	sum = crc32.Update(sum, castagnoli, make([]byte, 4))
	return crc32.Update(sum, castagnoli, p[headerSize:])
}

// readdress sets both ports, in place.
func (p packet) readdress(source, destination uint16) {
	binary.BigEndian.PutUint16(p[0:], source)
	binary.BigEndian.PutUint16(p[2:], destination)
	binary.LittleEndian.PutUint32(p[8:], p.checksum())
}

// A wire carries the packets of one association. It is the net.Conn that
// pion/sctp runs on; addresses and deadlines are of no use to it.
type wire struct {
	local, remote uint16
	send          func([]byte) error
	onClose       func()

	incoming chan packet
	closed   chan struct{}
	once     sync.Once
	err      error // why it was closed; set before closed is
}

func newWire(local, remote uint16, send func([]byte) error, onClose func()) *wire {
	return &wire{local: local, remote: remote, send: send, onClose: onClose,
		incoming: make(chan packet, 64), closed: make(chan struct{})}
}

// deliver hands a packet to the reader, or drops it like any network does when
// the reader is slow.
func (w *wire) deliver(p packet) {
	select {
	case w.incoming <- p:
	default:
	}
}

func (w *wire) Read(b []byte) (int, error) {
	select {
	case p := <-w.incoming:
		p.readdress(tunnelPort, tunnelPort)
		return copy(b, p), nil
	case <-w.closed:
		return 0, w.err
	}
}

func (w *wire) Write(b []byte) (int, error) {
	p := packet(append([]byte(nil), b...))
	p.readdress(w.local, w.remote)
	err := w.send(p)
	// A policy that drops on output shows as EPERM, a full queue as ENOBUFS:
	// to the protocol both are a lost packet, to be sent again.
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOBUFS) {
		err = nil
	}
	return len(b), err
}

// fail closes the wire for a reason that Read returns.
func (w *wire) fail(err error) {
	w.once.Do(func() {
		w.err = err
		close(w.closed)
		w.onClose()
	})
}

func (w *wire) Close() error                       { w.fail(io.EOF); return nil }
func (w *wire) LocalAddr() net.Addr                { return &net.IPAddr{} }
func (w *wire) RemoteAddr() net.Addr               { return &net.IPAddr{} }
func (w *wire) SetDeadline(time.Time) error        { return nil }
func (w *wire) SetReadDeadline(time.Time) error    { return nil }
func (w *wire) SetWriteDeadline(t time.Time) error { return nil }
