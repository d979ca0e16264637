package failure

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"
)

// fillConnections makes as many entries in a namespace's conntrack table as the
// kernel lets it have. They are marked assured, so that the kernel does not make
// room by dropping them (early_drop in nf_conntrack_core.c).
func fillConnections(path string) error {
	content, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_max")
	if err != nil {
		return fmt.Errorf("read limit of connections: %w", err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return fmt.Errorf("read limit of connections: %w", err)
	}
	return within(path, func() error {
		conn, err := conntrack.Dial(nil)
		if err != nil {
			return fmt.Errorf("open conntrack: %w", err)
		}
		defer conn.Close()
		to := netip.MustParseAddr("192.0.2.1")
		for n := range most {
			from := netip.AddrFrom4([4]byte{198, 18, byte(n >> 16), byte(n >> 8)})
			flow := conntrack.NewFlow(unix.IPPROTO_UDP, conntrack.StatusAssured|conntrack.StatusConfirmed|conntrack.StatusSeenReply,
				from, to, uint16(1024+n%256), 9, 600, 0)
			if err := conn.Create(flow); errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.ENFILE) {
				return nil // no room is left
			} else if err != nil {
				return fmt.Errorf("create connection %d: %w", n, err)
			}
		}
		return nil
	})
}

func emptyConnections(path string) error {
	return within(path, func() error {
		conn, err := conntrack.Dial(nil)
		if err != nil {
			return fmt.Errorf("open conntrack: %w", err)
		}
		defer conn.Close()
		return conn.Flush()
	})
}

// countConnections is how many connections a namespace's table has.
func countConnections(path string) (n int, err error) {
	err = within(path, func() error {
		content, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
		if err != nil {
			return fmt.Errorf("count connections: %w", err)
		}
		n, err = strconv.Atoi(strings.TrimSpace(string(content)))
		return err
	})
	return n, err
}

// trusted is how many of the connections that an address opened carry the label
// of what is allowed, and how many there are.
func trusted(path string, from netip.Addr) (labelled, all int, err error) {
	const label = 127
	err = within(path, func() error {
		conn, err := conntrack.Dial(nil)
		if err != nil {
			return fmt.Errorf("open conntrack: %w", err)
		}
		defer conn.Close()
		flows, err := conn.Dump(nil)
		if err != nil {
			return fmt.Errorf("list connections: %w", err)
		}
		for _, f := range flows {
			if f.TupleOrig.IP.SourceAddress != from {
				continue
			}
			all++
			// Two 64-bit words in the kernel's byte order.
			if len(f.Labels) == 16 && binary.NativeEndian.Uint64(f.Labels[8:])>>(label-64)&1 == 1 {
				labelled++
			}
		}
		return nil
	})
	return labelled, all, err
}
