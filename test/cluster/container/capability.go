package container

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"
)

func capabilityName(c capability.Cap) string { return strings.ToUpper(c.String()) }

// Confine takes all capabilities but those named out of what the calling thread
// and every program it executes can ever have.
func Confine(keep []string) error {
	known, err := capability.ListSupported()
	if err != nil {
		return fmt.Errorf("list capabilities: %w", err)
	}
	for _, c := range known {
		if slices.Contains(keep, capabilityName(c)) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %s: %w", c, err)
		}
	}
	return nil
}
