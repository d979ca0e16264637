package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// manyPods is a lab that takes long enough to be interrupted on its way.
func manyPods() []byte {
	var b bytes.Buffer
	for i := range 100 {
		fmt.Fprintf(&b, "---\n{apiVersion: v1, kind: Pod, metadata: {name: p%d}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}\n", i)
	}
	return b.Bytes()
}

// startRun starts lab run and returns it once the lab's process is there, with
// that process's number.
func startRun(t *testing.T) (run *exec.Cmd, lab int, stderr *bytes.Buffer) {
	t.Helper()
	program, err := exec.LookPath("bulkhead")
	if err != nil {
		t.Fatal(err)
	}
	stderr = &bytes.Buffer{}
	run = exec.Command(program, "lab", "run", "-")
	run.Stdin, run.Stderr = bytes.NewReader(manyPods()), stderr
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	for lab == 0 {
		lab = labOf(t, run.Process.Pid)
	}
	return run, lab, stderr
}

// labOf is a process's child that is a lab; zero: it has none yet.
func labOf(t *testing.T, pid int) int {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(lists) == 0 {
		t.Fatalf("the program has ended, or the kernel does not list children: %v", err)
	}
	for _, list := range lists {
		content, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended
		}
		for _, field := range strings.Fields(string(content)) {
			cmdline, _ := os.ReadFile("/proc/" + field + "/cmdline")
			if strings.Contains(string(cmdline), "\x00lab\x00serve\x00") {
				child, err := strconv.Atoi(field)
				if err != nil {
					t.Fatal(err)
				}
				return child
			}
		}
	}
	return 0
}

// awaitEnd returns when a process that is not our child is gone or waits for its
// parent to notice. The test's time limit is ours.
func awaitEnd(pid int) {
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
}

func TestInterruptedRunTidiesUp(t *testing.T) {
	run, lab, stderr := startRun(t)
	if err := run.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := run.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Errorf("ended with %v: %s", err, stderr)
	}
	if !strings.Contains(stderr.String(), "bulkhead: interrupted") {
		t.Errorf("said %q", stderr)
	}
	if err := syscall.Kill(lab, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the lab is still there: %v", err)
	}
}

func TestLabDoesNotOutliveAKilledRun(t *testing.T) {
	run, lab, _ := startRun(t)
	if err := run.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait()
	awaitEnd(lab)
}

func TestKilledLabFailsTheRun(t *testing.T) {
	run, lab, stderr := startRun(t)
	if err := syscall.Kill(lab, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := run.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Errorf("ended with %v: %s", err, stderr)
	}
	if !strings.Contains(stderr.String(), "the lab has ended") {
		t.Errorf("said %q", stderr)
	}
}
