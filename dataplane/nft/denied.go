package nft

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/attr"
	"github.com/bulkhead-dev/bulkhead/plan"
)

// Denied is what a class denied since it was made.
type Denied struct {
	Packets, Bytes uint64
}

// Denied is what each class denied. It may be called while the Dataplane is used
// by another goroutine.
func (d *Dataplane) Denied(ctx context.Context) (map[plan.ClassID]Denied, error) {
	conn, err := dial(d.netns.FD())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	list, err := listCounters(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("read what was denied: %w", err)
	}
	denied := map[plan.ClassID]Denied{}
	for _, m := range list {
		_, id, rest, ok := parseClassName(attr.Text(m, unix.NFTA_OBJ_NAME))
		if !ok || rest != "" {
			continue
		}
		denied[id] = valueOf(m)
	}
	return denied, nil
}

// valueOf is what a counter counted.
func valueOf(counter []byte) Denied {
	data := attr.Find(counter, unix.NFTA_OBJ_DATA)
	return Denied{
		Packets: wide(attr.Find(data, unix.NFTA_COUNTER_PACKETS)),
		Bytes:   wide(attr.Find(data, unix.NFTA_COUNTER_BYTES)),
	}
}

// wide is the value of an attribute of 8 bytes, zero if it has others.
func wide(value []byte) uint64 {
	if len(value) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}
