package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has used.
type usage struct {
	cpu      time.Duration
	resident float64 // MiB, now
	peak     float64 // MiB
	received float64 // bytes, by its network namespace
}

// ticks per second of /proc/PID/stat, on every architecture that Go runs on.
const ticks = 100

func usageOf(pid int) (usage, error) {
	var u usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	u.cpu = cpuOf(string(stat))
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	u.resident, u.peak = numberAfter(string(status), "VmRSS:")/1024, numberAfter(string(status), "VmHWM:")/1024
	devices, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	if err != nil {
		return u, err
	}
	u.received = numberAfter(string(devices), "eth0:")
	return u, nil
}

// cpuOf reads the times in user and kernel mode, which are the 14th and 15th
// fields; the 2nd is a name in parentheses that may hold anything.
func cpuOf(stat string) time.Duration {
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticks
}

// numberAfter is the number behind a name.
func numberAfter(text, name string) float64 {
	_, rest, _ := strings.Cut(text, name)
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseFloat(fields[0], 64)
	return n
}

// established counts the TCP connections of a process's network namespace to a
// port.
func established(pid int, port uint16) (int, error) {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		return 0, err
	}
	const stateEstablished = "01"
	n := 0
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 3 && f[3] == stateEstablished && strings.HasSuffix(f[2], fmt.Sprintf(":%04X", port)) {
			n++
		}
	}
	return n, nil
}
