package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// outsidePID finds the caller's number of a process that is known by its number
// in a PID namespace.
func outsidePID(namespace string, inside int) (int, error) {
	for _, dir := range processesIn(namespace) {
		if number, err := insidePID(dir); err == nil && number == inside {
			return strconv.Atoi(filepath.Base(dir))
		}
	}
	return 0, fmt.Errorf("find process %d of the cluster: %w", inside, os.ErrNotExist)
}

// insidePID is a process's number in its own PID namespace, the last of those
// that proc_pid_status(5) lists.
func insidePID(dir string) (int, error) {
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if numbers, ok := strings.CutPrefix(line, "NSpid:"); ok {
			all := strings.Fields(numbers)
			return strconv.Atoi(all[len(all)-1])
		}
	}
	return 0, os.ErrNotExist
}

// processesIn lists the folders below /proc of the processes in a PID namespace.
func processesIn(namespace string) []string {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	return slices.DeleteFunc(all, func(dir string) bool {
		own, err := os.Readlink(filepath.Join(dir, "ns/pid"))
		return err != nil || own != namespace // one that ends meanwhile cannot be read
	})
}
