package conntrack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/dataplane/namespace"
)

// size tells how large the table is, by kernel settings that stay open: where
// one belongs to is settled when it is opened.
type size struct {
	entries *os.File // of the namespace
	buckets *os.File // of the machine, which all namespaces share
}

func openSize(ns *namespace.Handle) (*size, error) {
	s := &size{}
	err := ns.Do(func() error {
		var err error
		if s.entries, err = os.Open("/proc/sys/net/netfilter/nf_conntrack_count"); err != nil {
			return err
		}
		s.buckets, err = os.Open("/proc/sys/net/netfilter/nf_conntrack_buckets")
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open size of conntrack table: %w", err), s.close())
	}
	return s, nil
}

func (s *size) close() error {
	var err error
	for _, file := range []*os.File{s.entries, s.buckets} {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
	}
	return err
}

func (s *size) read() (entries, buckets int, err error) {
	if entries, err = readNumber(s.entries); err != nil {
		return 0, 0, err
	}
	buckets, err = readNumber(s.buckets)
	return entries, buckets, err
}

func readNumber(file *os.File) (int, error) {
	text := make([]byte, 32)
	n, err := file.ReadAt(text, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read %s: %w", file.Name(), err)
	}
	number, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", file.Name(), err)
	}
	return number, nil
}
