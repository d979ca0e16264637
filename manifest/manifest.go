// Package manifest reads a cluster and its policies from Kubernetes YAML and
// JSON: files, folders, a pipe; hand-written manifests and kubectl's dumps of
// real clusters alike.
//
// Load gives a whole Bundle or an error of type Errors, which lists everything
// that is wrong, each with its file, line and field. NetworkPolicies are read
// strictly: an unknown field is an error. Of all other objects only what network
// policy needs is looked at, so that what a cluster prints loads as it is. Files
// must be smaller than MaxFileSize, 10 MB, unless Options say otherwise.
//
// Workloads become the pods that their controllers would make, unless the input
// has what they made already. One pod has its workload's name, several have
// name-0, name-1 …, a StatefulSet's always so, a DaemonSet's name-NODE. Pods that
// have ended, or that a real cluster has not placed, are not on the network and
// left out. What a manifest leaves to the cluster (nodes, placement, addresses,
// node ports) is assigned by name, so that equal input gives equal output and one
// object more moves few others. What the input states is kept.
//
// A Bundle is never changed after Load and may be read by several goroutines.
package manifest

import (
	"io"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// Stdin is the path that stands for standard input.
const Stdin = "-"

// MaxFileSize is the default limit of one file, in bytes; files must be smaller.
const MaxFileSize = 10_000_000

// Options say how to read and how to complete what the input leaves open. The
// zero value is the default.
type Options struct {
	// Nodes is how many nodes there are (node-1, node-2 …) where the input
	// declares none. Zero: one, or those that its pods run on.
	Nodes int
	// Families are those of the addresses that are assigned.
	Families Families
	// MaxFileSize is the limit for one file in bytes. Zero: the default.
	MaxFileSize int64
	// Defaults is YAML with objects that exist unless the input declares one
	// of the same kind and name.
	Defaults []byte
	// Replace lets an object take the place of one of the same kind and name
	// that an earlier path has, which else is an error.
	Replace bool
	// Without are objects that are left out although the input has them, as
	// are the pods that workloads among them would make.
	Without []Object
	// Keep is a cluster whose assignments are kept: a pod in it keeps its node
	// and addresses, a node and a service their addresses, unless the input
	// states others. Nil: none.
	Keep *cluster.Snapshot

	maxPods int // in tests; zero: MaxPods
}

// Bundle is what was read.
type Bundle struct {
	Snapshot *cluster.Snapshot
	Policies *policy.Set
	// Objects are the objects that were read, in the order of the input.
	Objects []Object
	// Warnings are what policies say and we do not enforce, by file and line;
	// their rules deny what depends on it.
	Warnings Errors
	// Skipped are the kinds of objects that are not needed, sorted.
	Skipped []Skipped

	bodies []metav1.Object // of Objects
}

// Object is one object of the input.
type Object struct {
	APIVersion, Kind string
	Namespace        string // empty for a cluster-wide object
	Name             string
	Source           policy.Source
}

// Skipped is a kind of object that is not needed, and how many there were.
type Skipped struct {
	APIVersion, Kind string
	Count            int
}

// Load reads files, folders with all below them, and standard input.
func Load(paths []string, opts Options, stdin io.Reader) (*Bundle, error) {
	l := newLoader(opts)
	l.parseAll(l.readAll(paths, stdin))
	l.checkFound(paths)
	l.addDefaults(opts.Defaults)
	l.leaveOut(opts.Without)
	bundle := l.build()
	if len(l.errs) > 0 {
		return nil, l.errs.sorted()
	}
	return bundle, nil
}

// IsPolicy tells whether objects of the kind restrict connections, so that what
// was read is not the whole truth of the cluster they came from.
func (s Skipped) IsPolicy() bool { return strings.HasSuffix(s.Kind, "NetworkPolicy") }
