package agent

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// ErrRunning: another agent enforces in this network namespace.
var ErrRunning = errors.New("an agent is running in this network namespace already")

// lockName is an abstract socket: it belongs to the network namespace, as the
// tables do, and goes when its process does, however that ends.
const lockName = "@bulkhead-agent"

// Lock makes this process the one that enforces in its network namespace, until
// it unlocks or ends.
func Lock() (unlock func() error, err error) {
	listener, err := net.Listen("unix", lockName)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, ErrRunning
	}
	if err != nil {
		return nil, fmt.Errorf("lock network namespace: %w", err)
	}
	return listener.Close, nil
}
