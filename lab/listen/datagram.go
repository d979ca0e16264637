package listen

import (
	"errors"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Datagram answers one datagram that was sent to an address and port; a nil
// answer is none.
type Datagram func(request []byte, from, to netip.AddrPort) []byte

// maxDatagram is the largest that UDP can carry.
const maxDatagram = 65535

// datagrams is an open UDP port.
type datagrams struct {
	file  *os.File
	conn  syscall.RawConn
	serve Datagram
	reply func(fd int, payload []byte, from netip.AddrPort, peer unix.Sockaddr) error
	busy  atomic.Bool // a datagram was perhaps taken and is not answered yet
	done  chan struct{}
}

// OpenDatagram answers UDP datagrams to a port, each from the address that it
// was sent to.
func OpenDatagram(s *space.Space, port uint16, serve Datagram) (Listener, error) {
	fd, err := bound(s, unix.SOCK_DGRAM, traffic.UDP, port, tellDestination)
	if err != nil {
		return nil, err
	}
	return startDatagrams(fd, &datagrams{serve: serve, reply: replyFrom})
}

func startDatagrams(fd int, l *datagrams) (Listener, error) {
	var err error
	l.file, l.done = os.NewFile(uintptr(fd), "listener"), make(chan struct{})
	if l.conn, err = l.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, l.file.Close())
	}
	go l.run()
	return l, nil
}

func (l *datagrams) run() {
	defer close(l.done)
	buffer, control := make([]byte, maxDatagram), make([]byte, 256)
	for {
		err := l.conn.Read(func(fd uintptr) bool {
			l.busy.Store(true)
			defer l.busy.Store(false)
			return l.answer(int(fd), buffer, control)
		})
		if err != nil {
			return
		}
	}
}

// answer takes and answers one datagram. It is false if there was none.
func (l *datagrams) answer(fd int, buffer, control []byte) bool {
	n, nc, _, peer, err := unix.Recvmsg(fd, buffer, control, unix.MSG_DONTWAIT)
	if err != nil {
		return !errors.Is(err, unix.EAGAIN)
	}
	to := destination(control[:nc])
	if reply := l.serve(buffer[:n], fromSockaddr(peer), to); reply != nil {
		_ = l.reply(fd, reply, to, peer) // one that cannot be sent is lost, as on any network
	}
	return true
}

// replyFrom answers on the socket that received. The device is left to routing.
func replyFrom(fd int, payload []byte, from netip.AddrPort, peer unix.Sockaddr) error {
	var control []byte
	if from.Addr().Is4() {
		control = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from.Addr().As4()})
	} else {
		control = unix.PktInfo6(&unix.Inet6Pktinfo{Addr: from.Addr().As16()})
	}
	return unix.Sendmsg(fd, payload, control, peer, 0)
}

// Idle: the order of the two looks matters, for a datagram is busy before it
// leaves the queue.
func (l *datagrams) Idle() (bool, error) {
	queued := 0
	var err error
	if controlErr := l.conn.Control(func(fd uintptr) {
		queued, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	}); controlErr != nil {
		return false, controlErr
	}
	return queued == 0 && !l.busy.Load(), err
}

func (l *datagrams) Close() error {
	err := l.file.Close()
	<-l.done
	return err
}
