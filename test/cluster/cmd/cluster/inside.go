package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/machine"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// boot is the first process of a cluster.
func boot() *cobra.Command {
	cmd := &cobra.Command{Use: "boot DIR", Hidden: true, Args: cobra.ExactArgs(1)}
	detached := cmd.Flags().Bool("detached", false, "")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		argv := []string{"machine", args[0], fmt.Sprintf("--detached=%t", *detached)}
		program, err := os.Executable()
		if err != nil {
			return err
		}
		return codeError(machine.Boot(program, argv...))
	}
	return cmd
}

// machineCommand is the process that runs a cluster.
func machineCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "machine DIR", Hidden: true, Args: cobra.ExactArgs(1)}
	detached := cmd.Flags().Bool("detached", false, "")
	cmd.RunE = func(_ *cobra.Command, args []string) error { return codeError(machine.Main(args[0], *detached)) }
	return cmd
}

// enter runs a command in namespaces that are named by their files. The command
// is a child, since only a child enters a PID namespace.
func enter() *cobra.Command {
	cmd := &cobra.Command{Use: "enter -- COMMAND...", Hidden: true, Args: cobra.MinimumNArgs(1)}
	inside := cmd.Flags().Bool("inside", false, "")
	paths := map[int]*string{}
	for name, flag := range map[string]int{"net": unix.CLONE_NEWNET, "mount": unix.CLONE_NEWNS, "uts": unix.CLONE_NEWUTS, "pid": unix.CLONE_NEWPID} {
		paths[flag] = cmd.Flags().String(name, "", "")
	}
	cmd.RunE = func(_ *cobra.Command, argv []string) error {
		if *inside {
			return become(argv)
		}
		var view ns.View
		for flag, space := range map[int]**ns.Space{unix.CLONE_NEWNET: &view.Net, unix.CLONE_NEWNS: &view.Mount, unix.CLONE_NEWUTS: &view.UTS, unix.CLONE_NEWPID: &view.PID} {
			if *paths[flag] == "" {
				continue
			}
			var err error
			if *space, err = ns.Open(*paths[flag], flag); err != nil {
				return err
			}
		}
		return runIn(view, argv)
	}
	return cmd
}

// become turns the process into a command that ends with its parent. The child
// asks for that itself: across PID namespaces, os/exec takes a parent that is
// invisible for one that is dead.
func become(argv []string) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("tie command to its parent: %w", err)
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("execute %s: %w", path, unix.Exec(path, argv, os.Environ()))
}

func runIn(view ns.View, argv []string) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(self, append([]string{"enter", "--inside", "--"}, argv...)...)
	child.Dir = dir // entering a mount namespace leads to its root
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := view.Enter(); err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals)
	go func() {
		for s := range signals {
			if s != syscall.SIGCHLD && s != syscall.SIGURG {
				_ = child.Process.Signal(s)
			}
		}
	}()
	return child.Wait()
}
