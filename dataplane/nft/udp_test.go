package nft

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
)

// refused sends a datagram to a closed port and waits for the error.
func refused(w *kerneltest.World, from string, to netip.AddrPort) error {
	return w.Place(from).Do(func() error {
		conn, err := net.Dial("udp", to.String())
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		if _, err = conn.Read(make([]byte, 1)); errors.Is(err, unix.ECONNREFUSED) {
			return nil
		}
		return err
	})
}
