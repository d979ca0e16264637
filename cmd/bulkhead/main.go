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
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run is main without the exit. An interrupt cancels the commands' context
// once; a second one ends the program at once, as if nobody had asked for the
// first.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(os.Stdin)
	root.SetOut(os.Stdout)
	root.SetErr(os.Stderr)
	return report(os.Stderr, root.ExecuteContext(ctx))
}
