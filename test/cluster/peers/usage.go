package peers

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// settle is how long an engine is given to come to rest.
const settle = 5 * time.Second

// clockTick is the unit of CPU time in /proc, USER_HZ, which is 100 on every
// architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// usage reads what the target node's engine has used since its start.
func usage(ctx context.Context, config *Config, worlds []*world) error {
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	for _, w := range worlds {
		if w.engine.None() {
			continue
		}
		pid, err := w.c.Node(1).Engine().PID(ctx)
		if err != nil {
			return err
		}
		if w.result.Memory, err = resident(pid); err != nil {
			return err
		}
		if w.result.CPU, err = cpuTime(pid); err != nil {
			return err
		}
	}
	return nil
}

// resident is a process's resident memory in bytes.
func resident(pid int) (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read memory of engine: %w", err)
	}
	for line := range strings.Lines(string(content)) {
		if number, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.ParseInt(strings.Fields(number)[0], 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("read memory of engine: process %d has none", pid)
}

// cpuTime is a process's CPU time, and that of the children it has waited for,
// such as iptables-restore.
func cpuTime(pid int) (time.Duration, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time of engine: %w", err)
	}
	return parseCPUTime(string(content))
}

func parseCPUTime(stat string) (time.Duration, error) {
	// proc_pid_stat(5): the name in parentheses may hold anything; utime is the
	// 12th field after it, followed by stime, cutime and cstime.
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) < 15 {
		return 0, fmt.Errorf("read CPU time of engine: %q", stat)
	}
	var total int64
	for _, field := range fields[11:15] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time of engine: %w", err)
		}
		total += ticks
	}
	return time.Duration(total) * clockTick, nil
}
