package kerneltest

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Stream opens UDP connections one after the other, to its ports in turn, and
// counts which arrive. After some thousand it begins anew.
type Stream struct {
	t        testing.TB
	stop     chan struct{}
	sending  sync.WaitGroup
	reading  sync.WaitGroup
	receiver *net.IPConn
	patient  bool // the first port's packets all arrive sooner or later

	mu      sync.Mutex
	sent    map[uint16]int
	arrived map[uint16]int
}

// Stream starts a stream from one place to another, which ends with End. The
// first port's packets are expected to arrive.
func (w *World) Stream(t testing.TB, from, to string, source, dest netip.Addr, ports ...uint16) *Stream {
	t.Helper()
	return w.stream(t, from, to, source, dest, true, ports)
}

// Flood starts a stream that goes on whether packets arrive or not, and ends
// with Abort.
func (w *World) Flood(t testing.TB, from, to string, source, dest netip.Addr, port uint16) *Stream {
	t.Helper()
	return w.stream(t, from, to, source, dest, false, []uint16{port})
}

func (w *World) stream(t testing.TB, from, to string, source, dest netip.Addr, patient bool, ports []uint16) *Stream {
	t.Helper()
	s := &Stream{t: t, patient: patient, stop: make(chan struct{}), sent: map[uint16]int{}, arrived: map[uint16]int{}}
	err := w.Place(to).Do(func() error {
		var err error
		s.receiver, err = net.ListenIP("ip4:udp", &net.IPAddr{IP: dest.AsSlice()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	prober := NewProber(t, w, nil)
	fd := prober.sender(sender{from, source, traffic.UDP})
	s.reading.Add(1)
	go s.receive()
	s.sending.Add(1)
	go s.send(fd, dest, ports)
	return s
}

func (s *Stream) send(fd int, dest netip.Addr, ports []uint16) {
	defer s.sending.Done()
	const first, last = 1024, 3072
	for source := uint16(first); ; source++ {
		select {
		case <-s.stop:
			return
		default:
		}
		if source == last {
			source = first
		}
		for _, port := range ports {
			s.mu.Lock()
			s.sent[port]++
			s.mu.Unlock()
			segment := binary.BigEndian.AppendUint16(nil, source)
			segment = binary.BigEndian.AppendUint16(segment, port)
			segment = append(segment, 0, 8, 0, 0) // no checksum, as IPv4 allows
			if err := unix.Sendto(fd, segment, 0, sockaddr(dest)); err != nil {
				s.t.Errorf("send to port %d: %v", port, err)
				return
			}
		}
		if s.patient {
			s.keepUp(ports)
		}
	}
}

// keepUp waits while more than a few packets are on the way, so that none is
// lost for want of room.
func (s *Stream) keepUp(ports []uint16) {
	const most = 20
	for {
		s.mu.Lock()
		behind := s.sent[ports[0]] - s.arrived[ports[0]]
		s.mu.Unlock()
		select {
		case <-s.stop:
			return
		case <-time.After(0):
		}
		if behind < most {
			return
		}
	}
}

func (s *Stream) receive() {
	defer s.reading.Done()
	buffer := make([]byte, 256)
	for {
		n, err := s.receiver.Read(buffer)
		if err != nil {
			return
		}
		// A raw socket gives the IP header too.
		header := int(buffer[0]&0xf) * 4
		if n < header+4 {
			continue
		}
		s.mu.Lock()
		s.arrived[binary.BigEndian.Uint16(buffer[header+2:])]++
		s.mu.Unlock()
	}
}

// AwaitMore waits until the first port has got some more packets.
func (s *Stream) AwaitMore() {
	s.t.Helper()
	const more = 10
	want := 0
	for deadline := time.Now().Add(patience); ; time.Sleep(patience / 10000) {
		s.mu.Lock()
		n := s.arrivedOnce()
		s.mu.Unlock()
		if want == 0 {
			want = n + more
		}
		if n >= want {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatal("nothing arrives any more")
		}
	}
}

func (s *Stream) arrivedOnce() int {
	n := 0
	for _, k := range s.arrived {
		n += k
	}
	return n
}

// Abort stops the stream.
func (s *Stream) Abort() {
	close(s.stop)
	s.sending.Wait()
	s.receiver.Close()
	s.reading.Wait()
}

// End stops the stream and returns, by port, how many were sent and how many
// arrived.
func (s *Stream) End() (sent, arrived map[uint16]int) {
	close(s.stop)
	s.sending.Wait()
	// Who was sent last has arrived when the first port's packets are all there.
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(patience / 10000) {
		s.mu.Lock()
		n := s.arrivedOnce()
		s.mu.Unlock()
		if n >= s.sent[53] {
			break
		}
	}
	s.receiver.Close()
	s.reading.Wait()
	return s.sent, s.arrived
}
