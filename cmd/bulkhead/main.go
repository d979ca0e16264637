// Command bulkhead says what network policies do and enforces them.
//
// The files of this package hold flags and wiring only: each command has a
// file with a constructor, root.go lists the constructors, exit.go says which
// error ends in which exit code.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// interrupts are the signals by which people and systems end a program.
var interrupts = []os.Signal{os.Interrupt, syscall.SIGTERM}

func main() {
	os.Exit(run(os.Args[1:]))
}

// run is main without the exit. An interrupt cancels the command's context, so
// that it can tidy up; a second one ends the program at once. Commands that have
// nothing to tidy up end at the first (endAtInterrupt).
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), interrupts...)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(os.Stdin)
	root.SetOut(os.Stdout)
	root.SetErr(os.Stderr)
	return report(os.Stderr, root.ExecuteContext(ctx))
}

// endAtInterrupt takes the context's signals back for commands that answer from
// manifests: they may wait for a pipe or compute, and look at no context.
func endAtInterrupt(cmd *cobra.Command, _ []string) {
	for at := cmd; at != nil; at = at.Parent() {
		if at.GroupID == groupModel {
			signal.Reset(interrupts...)
		}
	}
}
