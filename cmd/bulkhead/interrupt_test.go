package main

import (
	"bytes"
	"errors"
	"os/exec"
	"syscall"
	"testing"
)

// A command that waits for its input ends at the first interrupt.
func TestInterruptEndsACommandThatReads(t *testing.T) {
	program, err := exec.LookPath("bulkhead") // put there by TestMain
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "matrix", "-")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// More than a pipe holds: once it is written, the command is reading.
	if _, err := stdin.Write(bytes.Repeat([]byte("# comment\n"), 100_000)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	stdin.Close() // a command that ignored the signal would now end by itself
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatalf("ended with %v", err)
	}
	if status := exit.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("ended with %v, not by the interrupt", exit)
	}
}
