package neighbour

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's old iptables interface, which nftables does not show: socket
// options of linux/netfilter_ipv4/ip_tables.h and linux/netfilter_ipv6/ip6_tables.h.
const (
	optionInfo    = 64 // IPT_SO_GET_INFO, IP6T_SO_GET_INFO
	optionEntries = 65 // IPT_SO_GET_ENTRIES, IP6T_SO_GET_ENTRIES
	nameLen       = 32 // XT_TABLE_MAXNAMELEN
	infoLen       = nameLen + 4*(1+5+5+1+1)
	offsetSize    = infoLen - 4
	entriesHeader = nameLen + 8 // the size, and padding to 8 bytes
)

// legacyFamily is one of the two iptables.
type legacyFamily struct {
	names        string // file with the tables that exist
	domain       int
	level        int
	offsetTarget int // of target_offset in an entry; next_offset follows
}

var legacyFamilies = []legacyFamily{
	{"/proc/thread-self/net/ip_tables_names", unix.AF_INET, unix.IPPROTO_IP, 84 + 4},
	{"/proc/thread-self/net/ip6_tables_names", unix.AF_INET6, unix.IPPROTO_IPV6, 136 + 4},
}

// legacyChains are the user-defined chains of the tables that exist. Tables are
// not asked for by name before the kernel says that they exist, for that would
// make them.
func legacyChains() ([]string, error) {
	var chains []string
	var errs []error
	for _, f := range legacyFamilies {
		names, err := os.ReadFile(f.names)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without it
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("list iptables tables: %w", err))
			continue
		}
		for _, table := range strings.Fields(string(names)) {
			found, err := f.chains(table)
			chains = append(chains, found...)
			errs = append(errs, err)
		}
	}
	return chains, errors.Join(errs...)
}

func (f legacyFamily) chains(table string) ([]string, error) {
	// One more attempt for each change of the table in between.
	for range 5 {
		entries, err := f.entries(table)
		if err == unix.EAGAIN {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read iptables table %s: %w", table, err)
		}
		return f.userChains(entries), nil
	}
	return nil, fmt.Errorf("read iptables table %s: it keeps changing", table)
}

// entries are the table's rules as the kernel has them.
func (f legacyFamily) entries(table string) ([]byte, error) {
	fd, err := unix.Socket(f.domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	info := make([]byte, infoLen)
	copy(info, table)
	if err := getOption(fd, f.level, optionInfo, info); err != nil {
		return nil, err
	}
	size := binary.NativeEndian.Uint32(info[offsetSize:])
	request := make([]byte, entriesHeader+int(size))
	copy(request, table)
	binary.NativeEndian.PutUint32(request[nameLen:], size)
	if err := getOption(fd, f.level, optionEntries, request); err != nil {
		return nil, err
	}
	return request[entriesHeader:], nil
}

// getOption is getsockopt(2) with a value that goes both ways, which
// golang.org/x/sys/unix has not.
func getOption(fd, level, option int, value []byte) error {
	length := uint32(len(value))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&value[0])), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// userChains finds the entries that begin a user-defined chain: their target is
// called ERROR and carries the chain's name. The last one of a table is called
// ERROR as well.
func (f legacyFamily) userChains(entries []byte) []string {
	const (
		targetName = 2 // in the target, behind its size
		errorName  = 32
		label      = "ERROR"
	)
	var chains []string
	for len(entries) >= f.offsetTarget+4 {
		target := int(binary.NativeEndian.Uint16(entries[f.offsetTarget:]))
		next := int(binary.NativeEndian.Uint16(entries[f.offsetTarget+2:]))
		if next <= 0 || next > len(entries) || target+errorName > next {
			break
		}
		if text(entries[target+targetName:next]) == label {
			if name := text(entries[target+errorName : next]); name != label {
				chains = append(chains, name)
			}
		}
		entries = entries[next:]
	}
	return chains
}

// text reads up to the first zero byte.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
