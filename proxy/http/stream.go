package http

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// firstBuffer is what a connection that is idle costs for each side.
const firstBuffer = 2 << 10

// stream is one side's connection with what was read of it and not used.
type stream struct {
	*net.TCPConn
	buffer     []byte
	start, end int // of what was read
}

func newStream(c *net.TCPConn) *stream {
	return &stream{TCPConn: c, buffer: make([]byte, firstBuffer)}
}

func (s *stream) unread() []byte { return s.buffer[s.start:s.end] }

// errTooLong: a head has no end within its bounds.
var errTooLong = malformed(fmt.Sprintf("the head is longer than %d bytes", mostHead))

// fill reads more, and makes room for it.
func (s *stream) fill() error {
	if s.start > 0 {
		s.end = copy(s.buffer, s.unread())
		s.start = 0
	}
	if s.end == len(s.buffer) {
		s.buffer = append(s.buffer, make([]byte, len(s.buffer))...)
	}
	n, err := s.TCPConn.Read(s.buffer[s.end:])
	s.end += n
	if n > 0 {
		return nil
	}
	return err
}

// head reads a head. Between messages the connection may be idle for one time;
// once a head has begun it must be there in the other.
func (s *stream) head(idle, patience time.Duration) ([]byte, error) {
	begun := false
	s.SetReadDeadline(time.Now().Add(idle))
	for {
		for !begun && bytes.HasPrefix(s.unread(), []byte("\r\n")) {
			s.start += 2 // RFC 9112, 2.2: an empty line before a request
		}
		if n := endOfHead(s.unread()); n >= 0 {
			head := s.buffer[s.start : s.start+n]
			s.start += n
			return head, nil
		}
		if len(s.unread()) > mostHead {
			return nil, errTooLong
		}
		if !begun && len(s.unread()) > 0 {
			begun = true
			s.SetReadDeadline(time.Now().Add(patience))
		}
		if err := s.fill(); err != nil {
			if errors.Is(err, io.EOF) && begun {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// copyBody passes a body on as it comes. What was read already goes first; the
// rest of one with a length goes from socket to socket in the kernel.
func (s *stream) copyBody(to *net.TCPConn, b body) error {
	s.SetReadDeadline(time.Time{})
	switch {
	case b.chunked:
		return s.copyChunks(to)
	case b.length < 0:
		if err := s.flush(to, int64(len(s.unread()))); err != nil {
			return err
		}
		_, err := io.Copy(to, s.TCPConn)
		return err
	}
	n := min(b.length, int64(len(s.unread())))
	if err := s.flush(to, n); err != nil || n == b.length {
		return err
	}
	_, err := io.CopyN(to, s.TCPConn, b.length-n)
	return err
}

// flush passes on some of what was read.
func (s *stream) flush(to *net.TCPConn, n int64) error {
	if n == 0 {
		return nil
	}
	_, err := to.Write(s.buffer[s.start : s.start+int(n)])
	s.start += int(n)
	return err
}

// mostChunkLine bounds a chunk's first line and a trailer.
const mostChunkLine = 4 << 10

// copyChunks passes a chunked body on, and finds its end (RFC 9112, 7.1).
func (s *stream) copyChunks(to *net.TCPConn) error {
	for {
		line, err := s.line()
		if err != nil {
			return err
		}
		size, err := chunkSize(line)
		if err != nil {
			return err
		}
		if err := s.flush(to, int64(len(line))); err != nil {
			return err
		}
		if size == 0 {
			return s.copyTrailers(to)
		}
		if err := s.copyBody(to, body{length: size}); err != nil {
			return err
		}
		end, err := s.line()
		if err != nil || string(end) != "\r\n" {
			return errors.Join(err, malformed("a chunk that is longer than it says"))
		}
		if err := s.flush(to, 2); err != nil {
			return err
		}
	}
}

func (s *stream) copyTrailers(to *net.TCPConn) error {
	for {
		line, err := s.line()
		if err != nil {
			return err
		}
		last := string(line) == "\r\n"
		if !last {
			if _, err := parseField(string(line[:len(line)-2])); err != nil {
				return err
			}
		}
		if err := s.flush(to, int64(len(line))); err != nil || last {
			return err
		}
	}
}

// line is the next line with its end, still unread.
func (s *stream) line() ([]byte, error) {
	for {
		if i := bytes.IndexByte(s.unread(), '\n'); i >= 0 {
			line := s.unread()[:i+1]
			if i == 0 || line[i-1] != '\r' {
				return nil, malformed("a line of a chunked body ends without CR")
			}
			return line, nil
		}
		if len(s.unread()) > mostChunkLine {
			return nil, malformed("a line of a chunked body does not end")
		}
		if err := s.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// chunkSize reads a chunk's first line. Extensions are passed on if they are
// nothing but visible characters.
func chunkSize(line []byte) (int64, error) {
	text := string(line[:len(line)-2])
	if err := checkLine(text); err != nil {
		return 0, err
	}
	digits := text
	for i := range len(text) {
		if text[i] == ';' {
			digits = text[:i]
			break
		}
	}
	return parseNumber(digits, 16)
}
