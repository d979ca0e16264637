package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes; they are documented in the root command's help.
const (
	exitFine   = 0
	exitNo     = 1
	exitInput  = 2
	exitFailed = 3
)

// errNo ends a command whose answer, already printed, is "no".
var errNo = errors.New("the answer is no")

// inputError is an error in what the user wrote.
type inputError struct{ error }

func (e inputError) Unwrap() error { return e.error }

// exitStatus ends a command with the exit code of a program that it ran, which
// has said itself what there is to say.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

// badInput marks an error as the user's to mend. Nil stays nil.
func badInput(err error) error {
	if err == nil {
		return nil
	}
	return inputError{err}
}

// usage marks what a check of arguments finds as bad input.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return badInput(fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
		}
		return nil
	}
}

// report prints what went wrong, one line per error, and chooses the exit code.
func report(stderr io.Writer, err error) int {
	var input inputError
	var status exitStatus
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &status):
		return int(status)
	case errors.Is(err, errNo):
		return exitNo
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "bulkhead: %s\n", strings.TrimRight(line, "\n"))
	}
	if errors.As(err, &input) {
		return exitInput
	}
	return exitFailed
}
