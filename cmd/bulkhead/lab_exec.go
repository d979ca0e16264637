package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bulkhead-dev/bulkhead/lab/control"
)

const labExecHelp = `Run a program of this machine in a pod's network, with the pod's name and its DNS,
or in that of a node or of the outside host. The program has this terminal; its exit
code becomes this command's.`

func newLabExecCommand() *cobra.Command {
	var name labName
	cmd := &cobra.Command{
		Use:   "exec NAMESPACE/POD|node/NAME|outside -- PROGRAM [ARG...]",
		Short: "Run a program in a pod",
		Long:  labExecHelp,
		Example: `  bulkhead lab exec shop/frontend -- curl -m 2 http://backend/
  bulkhead lab exec node/node-1 -- nft list table inet bulkhead
  bulkhead lab exec outside -- curl -m 2 -k https://10.244.0.5:443
  bulkhead lab exec shop/frontend -- sh`,
		Args: usage(checkExec),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := name.dial()
			if err != nil {
				return err
			}
			defer client.Close()
			e, err := program(args)
			if err != nil {
				return err
			}
			code, err := runProgram(client, e)
			if err != nil {
				return labError(err)
			}
			return exitStatus(code)
		},
	}
	name.addFlags(cmd)
	cmd.Flags().SetInterspersed(false) // flags behind the target are the program's
	return cmd
}

func checkExec(_ *cobra.Command, args []string) error {
	if len(args) > 1 && args[1] == "--" {
		args = append(args[:1:1], args[2:]...)
	}
	if len(args) < 2 {
		return errors.New("say where and what to run: NAMESPACE/POD -- PROGRAM")
	}
	return nil
}

// program is what the arguments ask for.
func program(args []string) (control.Exec, error) {
	target, args := args[0], args[1:]
	if args[0] == "--" {
		args = args[1:]
	}
	path, err := exec.LookPath(args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return control.Exec{}, badInput(fmt.Errorf("run %s: %w", args[0], errors.Unwrap(err)))
	}
	dir, err := os.Getwd()
	if err != nil {
		return control.Exec{}, fmt.Errorf("find working directory: %w", err)
	}
	return control.Exec{Target: target, Path: path, Args: args, Env: os.Environ(), Dir: dir}, nil
}

// passedOn are the signals that are meant for the program.
var passedOn = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2}

// runProgram runs a program to its end, whatever signals come: it is for the
// program to end because of them.
func runProgram(client *control.Client, e control.Exec) (int, error) {
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, passedOn...)
	defer signal.Stop(arrived)
	go func() {
		for s := range arrived {
			_ = client.Signal(s.(syscall.Signal))
		}
	}()
	ctx := context.Background()
	if term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) {
		return client.ExecTerminal(ctx, e, os.Stdin, os.Stdout)
	}
	return client.Exec(ctx, e, os.Stdin, os.Stdout, os.Stderr)
}
