// Command scale measures an agent in a cluster of any size, on one machine: etcd
// and API server are real, the agent is the real program in a network namespace
// of its own, and pods, namespaces and policies exist as objects only.
//
//	scale -agent bin/bulkhead                        # 100,000 pods
//	scale -agent bin/bulkhead -pods 10000,30000,100000
//	scale -agent bin/bulkhead -reaction              # few pods, real packets
//
// It prints what it measured, and each target as met or missed; missing one is no
// error. It needs root. Everything runs in namespaces that end with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Package ns wants the main thread for the main goroutine.
func init() { runtime.LockOSThread() }

// options are what to measure.
type options struct {
	agent    string // the program
	sizes    []size
	times    int // each kind of change
	reaction bool
	logs     string
}

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(2)
	}
	if os.Getenv(inside) == "" {
		os.Exit(eachInside(o))
	}
	if err := mountProc(); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(3)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(3)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	flags.StringVar(&o.agent, "agent", "bin/bulkhead", "the agent's program")
	pods := flags.String("pods", "100000", "sizes of cluster to measure, with commas; namespaces are a twentieth, policies a tenth of it")
	local := flags.Int("local", 250, "pods of the agent's node")
	flags.IntVar(&o.times, "times", 100, "how often each kind of change is measured")
	flags.BoolVar(&o.reaction, "reaction", false, "measure with packets when an allowance or a denial works, with 200 pods and 100 policies")
	flags.StringVar(&o.logs, "logs", "", "folder that gets the logs; empty: they are lost")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for word := range strings.SplitSeq(*pods, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < *local || *local < 1 {
			return o, fmt.Errorf("%q pods: want a number not below -local", word)
		}
		o.sizes = append(o.sizes, sizeOf(n, *local))
	}
	if o.reaction {
		o.sizes = []size{{pods: 200, namespaces: 20, policies: 100, local: 50}}
	}
	var err error
	if o.agent, err = filepath.Abs(o.agent); err != nil {
		return o, err
	}
	_, err = os.Stat(o.agent)
	return o, err
}

// inside tells the program that it is in its namespaces.
const inside = "BULKHEAD_SCALE_INSIDE"

// mountProc shows the processes of the program's own namespace.
func mountProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	return unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// eachInside starts the program again for each size, in new namespaces of
// processes, mounts and networks, until one fails; it returns the exit code.
func eachInside(o options) int {
	for _, s := range o.sizes {
		args := slices.Clone(os.Args[1:])
		if !o.reaction {
			args = append(args, "-pods", strconv.Itoa(s.pods)) // the last one counts
		}
		code, err := runInside(args)
		if err != nil {
			fmt.Fprintln(os.Stderr, "scale:", err)
		}
		if code != 0 {
			return code
		}
	}
	return 0
}

func runInside(args []string) (code int, err error) {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return 3, fmt.Errorf("make namespaces: %w", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended
		}
	}()
	_ = cmd.Wait() // its exit code says all
	return cmd.ProcessState.ExitCode(), nil
}

func run(ctx context.Context, o options) error {
	for _, s := range o.sizes {
		b, err := start(ctx, o, s)
		if err != nil {
			return err
		}
		measure := b.measureScale
		if o.reaction {
			measure = b.measureReaction
		}
		err = measure(ctx)
		b.report.print(os.Stdout)
		if err := errors.Join(err, b.stop()); err != nil {
			return fmt.Errorf("measure %s: %w", s, err)
		}
	}
	return nil
}
