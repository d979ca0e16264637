// Package control runs a lab in a process of its own and talks to it: a Server
// owns the lab, a Client asks it to change, to probe, to run programs.
//
// They speak over a Unix socket: the client sends requests one after the other,
// and for each gets events, the last of which is its result or its error. A
// client that goes away ends what it has asked for. A lab that runs on in the
// background is found by its name, in a folder of the user's own (see Home).
//
// What is sent are whole desired clusters: the client reads manifests, with the
// user's paths and the user's pipe, and knows at once what is wrong with them.
package control

import (
	"encoding/json"
	"fmt"
	"syscall"

	"github.com/bulkhead-dev/bulkhead/lab/probe"
	"github.com/bulkhead-dev/bulkhead/matrix"
)

// InputError is an error that is the user's to mend.
type InputError struct{ error }

// Unwrap is the error itself.
func (e InputError) Unwrap() error { return e.error }

func inputf(format string, args ...any) error { return InputError{fmt.Errorf(format, args...)} }

// operation is what a request asks for.
type operation string

const (
	opStart  operation = "start"
	opState  operation = "state"
	opApply  operation = "apply"
	opProbe  operation = "probe"
	opStatus operation = "status"
	opExec   operation = "exec"
	opSignal operation = "signal" // to the program of the exec before; has no events
	opStop   operation = "stop"
)

// request is what a client asks for. The field of its operation is set.
type request struct {
	Op     operation       `json:"op"`
	Start  *Start          `json:"start,omitempty"`
	Apply  *State          `json:"apply,omitempty"`
	Probe  *Filter         `json:"probe,omitempty"`
	Exec   *Exec           `json:"exec,omitempty"` // comes with three files
	Signal *syscall.Signal `json:"signal,omitempty"`
}

// event is what a server answers. The last of a request has Result or Error.
type event struct {
	Progress *Progress       `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *failure        `json:"error,omitempty"`
}

type failure struct {
	Message string `json:"message"`
	Input   bool   `json:"input,omitempty"` // it is the user's to mend
}

// Start says what a new lab is like.
type Start struct {
	Name      string `json:"name,omitempty"` // empty: the lab ends with its client
	Network   string `json:"network"`
	NoEnforce bool   `json:"noEnforce,omitempty"`
	State     State  `json:"state"`
}

// Progress is how far a probe is.
type Progress struct {
	Decided int `json:"decided"`
	Total   int `json:"total"`
}

// Filter chooses connections. Empty fields choose all.
type Filter struct {
	From string `json:"from,omitempty"` // "shop/frontend", with * and ? for any characters
	To   string `json:"to,omitempty"`
	Port uint16 `json:"port,omitempty"`
}

// Probed is the result of a probe.
type Probed struct {
	Matrix *matrix.Matrix `json:"matrix"`
	// Answers are what became of each connection, for those who want to know
	// more than the verdict.
	Answers []Answer `json:"answers,omitempty"`
	Notes   []string `json:"notes,omitempty"`  // what could not be measured here, and why
	Failed  []string `json:"failed,omitempty"` // what should have been measured and was not
}

// Answer is what became of one connection.
type Answer struct {
	Connection string        `json:"connection"`
	Outcome    probe.Outcome `json:"outcome"`
	Answer     string        `json:"answer,omitempty"`
}

// Exec is a program to run.
type Exec struct {
	Target   string   `json:"target"` // "shop/frontend", "node/node-1", "outside"
	Path     string   `json:"path"`   // absolute
	Args     []string `json:"args"`
	Env      []string `json:"env"`
	Dir      string   `json:"dir"`
	Terminal bool     `json:"terminal,omitempty"` // its files are a terminal, to be its own
}

// exited is the result of an exec.
type exited struct {
	Code int `json:"code"`
}
