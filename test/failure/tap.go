package failure

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Tap counts the UDP packets that a node hands to its pods: behind all filters,
// and from the first packet on, since it does not have to be in the pod.
type Tap struct {
	fd      int
	uplinks map[int]bool // devices that lead to no pod
	done    chan struct{}
	mu      sync.Mutex
	arrived map[arrival]int64
	err     error
}

// arrival is who sent to whom, and by which of the node's devices it went out.
type arrival struct {
	from, to netip.Addr
	source   uint16
	port     uint16
	device   int
}

// OpenTap begins to count in a node's network namespace.
func OpenTap(path string) (*Tap, error) {
	t := &Tap{done: make(chan struct{}), uplinks: map[int]bool{}, arrived: map[arrival]int64{}}
	err := within(path, func() error {
		devices, err := net.Interfaces()
		if err != nil {
			return err
		}
		for _, d := range devices {
			t.uplinks[d.Index] = !strings.HasPrefix(d.Name, "veth")
		}
		t.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(bigEndian(unix.ETH_P_ALL)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	const buffer = 32 << 20
	if err := unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer); err != nil {
		return nil, errors.Join(fmt.Errorf("set up packet socket: %w", err), unix.Close(t.fd))
	}
	go t.run()
	return t, nil
}

func bigEndian(n uint16) uint16 { return n<<8 | n>>8 }

func (t *Tap) run() {
	for {
		select {
		case <-t.done:
			return
		case <-time.After(time.Millisecond):
			t.mu.Lock()
			t.drain()
			t.mu.Unlock()
		}
	}
}

// drain takes what there is, so that nothing is counted later than it arrived.
func (t *Tap) drain() {
	buffer := make([]byte, 128)
	for t.err == nil {
		n, from, err := unix.Recvfrom(t.fd, buffer, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN):
			continue
		case err != nil:
			t.err = err
			return
		}
		if link, ok := from.(*unix.SockaddrLinklayer); ok && link.Pkttype == unix.PACKET_OUTGOING && !t.uplinks[link.Ifindex] {
			t.note(buffer[:n], link.Ifindex)
		}
	}
}

// note counts an IPv4 packet of UDP.
func (t *Tap) note(packet []byte, device int) {
	if len(packet) < 28 || packet[0]>>4 != 4 || packet[9] != unix.IPPROTO_UDP {
		return
	}
	header := int(packet[0]&0xf) * 4
	if len(packet) < header+4 {
		return
	}
	from, _ := netip.AddrFromSlice(packet[12:16])
	to, _ := netip.AddrFromSlice(packet[16:20])
	t.arrived[arrival{from, to, binary.BigEndian.Uint16(packet[header:]), binary.BigEndian.Uint16(packet[header+2:]), device}]++
}

// Count is how many packets arrived of which the function holds.
func (t *Tap) Count(of func(arrival) bool) (n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drain()
	for a, packets := range t.arrived {
		if of(a) {
			n += packets
		}
	}
	return n
}

// Devices are those by which packets went out of which the function holds.
func (t *Tap) Devices(of func(arrival) bool) map[int]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	devices := map[int]bool{}
	for a := range t.arrived {
		if of(a) {
			devices[a.device] = true
		}
	}
	return devices
}

// Targets are the addresses to which they went.
func (t *Tap) Targets(of func(arrival) bool) map[netip.Addr]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	targets := map[netip.Addr]bool{}
	for a := range t.arrived {
		if of(a) {
			targets[a.to] = true
		}
	}
	return targets
}

// Close ends the counting. It fails if something may have been missed.
func (t *Tap) Close() error {
	close(t.done)
	t.mu.Lock()
	defer t.mu.Unlock()
	statistics, err := unix.GetsockoptTpacketStats(t.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err == nil && statistics.Drops > 0 {
		err = fmt.Errorf("the tap missed %d packets", statistics.Drops)
	}
	err = errors.Join(t.err, err, unix.Close(t.fd))
	t.err = net.ErrClosed
	return err
}
