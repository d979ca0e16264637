package control

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// State is a cluster and its policies in a form that travels: the objects, and
// what was assigned to them.
type State struct {
	// Version counts changes, so that two that are made at the same time do not
	// undo each other.
	Version  int             `json:"version"`
	Nodes    int             `json:"nodes"` // manifest.Options.Nodes
	Objects  json.RawMessage `json:"objects"`
	Snapshot []byte          `json:"snapshot"` // gob
}

// NewState packs a bundle that was loaded for a number of nodes.
func NewState(b *manifest.Bundle, nodes int) (State, error) {
	var objects, snapshot bytes.Buffer
	if err := b.Write(&objects); err != nil {
		return State{}, err
	}
	if err := gob.NewEncoder(&snapshot).Encode(b.Snapshot); err != nil {
		return State{}, fmt.Errorf("encode cluster: %w", err)
	}
	return State{Nodes: nodes, Objects: objects.Bytes(), Snapshot: snapshot.Bytes()}, nil
}

// stateSize is a limit for what a state may have; the files that it came from
// have stricter ones.
const stateSize = 1 << 32

// options are those by which the same objects get the same assignments.
func (s State) options() (manifest.Options, error) {
	keep := cluster.NewSnapshot()
	if err := gob.NewDecoder(bytes.NewReader(s.Snapshot)).Decode(keep); err != nil {
		return manifest.Options{}, fmt.Errorf("decode cluster: %w", err)
	}
	return manifest.Options{
		Nodes: s.Nodes, Families: familiesOf(keep), Keep: keep, Replace: true, MaxFileSize: stateSize,
		Defaults: []byte(alwaysThere),
	}, nil
}

// alwaysThere is an object that every cluster has, so that a lab of which
// everything was deleted is not taken for a mistake.
const alwaysThere = "{apiVersion: v1, kind: Namespace, metadata: {name: default}}"

// familiesOf are the families that a cluster's pods have, so that new ones get
// the same.
func familiesOf(s *cluster.Snapshot) manifest.Families {
	var has4, has6 bool
	for _, pod := range s.Pods {
		has4 = has4 || slices.ContainsFunc(pod.Addrs, netip.Addr.Is4)
		has6 = has6 || slices.ContainsFunc(pod.Addrs, netip.Addr.Is6)
	}
	switch {
	case has4 && has6:
		return manifest.DualStack
	case has4:
		return manifest.IPv4
	case has6:
		return manifest.IPv6
	}
	return manifest.AutoFamilies
}

// Load unpacks the state.
func (s State) Load() (*manifest.Bundle, error) {
	options, err := s.options()
	if err != nil {
		return nil, err
	}
	return manifest.Load([]string{manifest.Stdin}, options, bytes.NewReader(s.Objects))
}

// Add is the state with the objects of manifests added, or in the place of
// those of the same name. It also returns how many objects were read.
func (s State) Add(paths []string, stdin io.Reader) (State, *manifest.Bundle, error) {
	options, err := s.options()
	if err != nil {
		return State{}, nil, err
	}
	file, path, err := inMemory(s.Objects)
	if err != nil {
		return State{}, nil, err
	}
	defer file.Close()
	return s.next(manifest.Load(append([]string{path}, paths...), options, stdin))
}

// Remove is the state without the objects of manifests.
func (s State) Remove(paths []string, stdin io.Reader) (State, *manifest.Bundle, error) {
	unwanted, err := manifest.Load(paths, manifest.Options{Nodes: s.Nodes}, stdin)
	if err != nil {
		return State{}, nil, InputError{err}
	}
	now, err := s.Load()
	if err != nil {
		return State{}, nil, err
	}
	for _, o := range unwanted.Objects {
		if !slices.ContainsFunc(now.Objects, func(have manifest.Object) bool { return sameObject(o, have) }) {
			return State{}, nil, inputf("%s:%d: %s: not in the lab", o.Source.File, o.Source.Line, &o)
		}
	}
	options, err := s.options()
	if err != nil {
		return State{}, nil, err
	}
	options.Without = unwanted.Objects
	return s.next(manifest.Load([]string{manifest.Stdin}, options, bytes.NewReader(s.Objects)))
}

func sameObject(a, b manifest.Object) bool {
	return a.Kind == b.Kind && a.Namespace == b.Namespace && a.Name == b.Name
}

// next is the state after this one.
func (s State) next(b *manifest.Bundle, err error) (State, *manifest.Bundle, error) {
	if err != nil {
		return State{}, nil, InputError{err}
	}
	next, err := NewState(b, s.Nodes)
	next.Version = s.Version + 1
	return next, b, err
}

// inMemory is a file that holds a text and is nowhere on disk.
func inMemory(text []byte) (file *os.File, path string, err error) {
	fd, err := unix.MemfdCreate("state", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, "", fmt.Errorf("create file in memory: %w", err)
	}
	file = os.NewFile(uintptr(fd), "state")
	if _, err := file.Write(text); err != nil {
		file.Close()
		return nil, "", fmt.Errorf("write file in memory: %w", err)
	}
	return file, fmt.Sprintf("/proc/self/fd/%d", fd), nil
}
