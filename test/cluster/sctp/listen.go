package sctp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/pion/sctp"
)

// A Server answers associations on some ports of every address of the machine.
// It leaves all other ports alone: they may be another server's.
type Server struct {
	// Handle serves one association on a port; it ends with Handle's return.
	Handle func(port uint16, stream *sctp.Stream)

	ports map[uint16]bool
	mu    sync.Mutex
	wires map[peer]*wire
}

type peer struct {
	address       string
	remote, local uint16
}

// NewServer makes a server of some ports.
func NewServer(handle func(uint16, *sctp.Stream), ports ...uint16) *Server {
	s := &Server{Handle: handle, ports: map[uint16]bool{}, wires: map[peer]*wire{}}
	for _, port := range ports {
		s.ports[port] = true
	}
	return s
}

// Serve answers on IPv4 and IPv6 until one of the sockets fails. A machine
// without IPv6 is served on IPv4.
func (s *Server) Serve() error {
	failed := make(chan error)
	v4, err := net.ListenIP(fmt.Sprintf("ip4:%d", protocolNumber), nil)
	if err != nil {
		return fmt.Errorf("listen for SCTP: %w", err)
	}
	go func() { failed <- s.serve(v4) }()
	if v6, err := net.ListenIP(fmt.Sprintf("ip6:%d", protocolNumber), nil); err == nil {
		go func() { failed <- s.serve(v6) }()
	}
	return <-failed
}

func (s *Server) serve(socket *net.IPConn) error {
	buffer := make([]byte, 1<<16)
	for {
		n, from, err := socket.ReadFromIP(buffer)
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			continue // an ICMP error about a client that is gone
		}
		if p := packet(append([]byte(nil), buffer[:n]...)); p.valid() {
			s.receive(socket, from, p)
		}
	}
}

func (s *Server) receive(socket *net.IPConn, from *net.IPAddr, p packet) {
	who := peer{from.String(), p.source(), p.destination()}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wires[who]
	switch {
	case w != nil:
		w.deliver(p)
	case !p.opens():
	case s.ports[p.destination()]:
		send := func(b []byte) error { _, err := socket.WriteToIP(b, from); return err }
		w = newWire(who.local, who.remote, send, func() { s.forget(who) })
		s.wires[who] = w
		w.deliver(p)
		go s.accept(w)
	}
}

// opens says whether the packet asks for an association.
func (p packet) opens() bool {
	return p.firstChunk() == chunkInit && p.tag() == 0 && len(p) >= headerSize+20 &&
		binary.BigEndian.Uint32(p[headerSize+4:]) != 0
}

func (s *Server) accept(w *wire) {
	association, err := sctp.ServerWithOptions(config(w))
	if err != nil {
		w.Close()
		return
	}
	stream, err := association.OpenStream(0, sctp.PayloadTypeWebRTCBinary)
	if err == nil {
		s.Handle(w.local, stream)
	}
	// The client shuts the association down; its reader then ends here.
	discard(stream)
	association.Close()
}

func discard(stream *sctp.Stream) {
	buffer := make([]byte, 1<<16)
	for stream != nil {
		if _, err := stream.Read(buffer); err != nil {
			return
		}
	}
}

// forget runs on a goroutine of its own: a wire may be closed by the reader
// that holds the lock.
func (s *Server) forget(who peer) {
	go func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.wires, who)
	}()
}
