package nri

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The socket carries two connections: on one the runtime calls the plugin, on the
// other the plugin calls the runtime (pkg/net/multiplex of NRI). A frame is the
// connection's number, a length, and so many bytes of it.
const (
	connPlugin  = 1
	connRuntime = 2
	frameHead   = 8
)

// A message of ttrpc is its length, the number of the call, its type and flags,
// and a protobuf message. It may be spread over frames.
const (
	messageHead  = 10
	messageMax   = 4 << 20
	typeRequest  = 1
	typeResponse = 2
	// flagWhole: nothing follows on this call.
	flagWhole = 1
)

type message struct {
	stream uint32
	kind   byte
	body   []byte
}

// send writes a message in one frame.
func (s *session) send(conn, stream uint32, kind byte, body []byte) error {
	flags := byte(0)
	if kind == typeRequest {
		flags = flagWhole
	}
	b := binary.BigEndian.AppendUint32(nil, conn)
	b = binary.BigEndian.AppendUint32(b, uint32(messageHead+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, stream)
	b = append(b, kind, flags)
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := s.conn.Write(append(b, body...))
	return err
}

// receive hands on messages until the connection ends or one cannot be taken.
func (s *session) receive(take func(conn uint32, m message) error) error {
	pending := map[uint32][]byte{}
	var head [frameHead]byte
	for {
		if _, err := io.ReadFull(s.conn, head[:]); err != nil {
			return err
		}
		conn, size := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
		if size > messageHead+messageMax || conn != connPlugin && conn != connRuntime {
			return fmt.Errorf("frame of %d bytes for connection %d: not NRI", size, conn)
		}
		frame := make([]byte, size)
		if _, err := io.ReadFull(s.conn, frame); err != nil {
			return err
		}
		rest := append(pending[conn], frame...)
		for {
			m, n, err := parse(rest)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			rest = rest[n:]
			if err := take(conn, m); err != nil {
				return err
			}
		}
		pending[conn] = rest
	}
}

// parse is the first message of what came, and how long it is; zero: not all of
// it came yet.
func parse(b []byte) (message, int, error) {
	if len(b) < messageHead {
		return message{}, 0, nil
	}
	size := binary.BigEndian.Uint32(b)
	if size > messageMax {
		return message{}, 0, fmt.Errorf("message of %d bytes: not NRI", size)
	}
	n := messageHead + int(size)
	if len(b) < n {
		return message{}, 0, nil
	}
	return message{stream: binary.BigEndian.Uint32(b[4:]), kind: b[8], body: b[messageHead:n]}, n, nil
}
