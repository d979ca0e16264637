// Package container starts a process in a root folder of its own, the way a
// container runtime would: the caller describes it in a Spec and calls Start,
// which runs a small helper program (cmd/container-init) that builds the root
// and then becomes the process.
//
// A container is its own PID namespace: killing its first process kills all of
// it. Nothing is limited or accounted (no cgroups), since the suites that run in
// these containers need none of it.
package container

import "github.com/moby/sys/capability"

// A Spec says how a container looks from inside. Paths that are called sources
// are those of the view that the container is started in.
type Spec struct {
	Hostname     string   // "" keeps that of the view
	Layers       []string // read-only root folders, the topmost first
	Scratch      string   // empty folder on a file system that overlayfs can write to
	ReadOnlyRoot bool
	Mounts       []Mount // in order, on top of the root

	Argv []string // the program is looked up in Env's PATH inside the root
	Env  []string
	Dir  string // "" is the root

	UID, GID int   // 0 is root
	Groups   []int // further groups

	// Capabilities is the most that any process in the container can have.
	Capabilities []string
	// Privileged containers keep every capability and see the view's devices.
	Privileged      bool
	NoNewPrivileges bool
	SharePID        bool // do not make a PID namespace
	Terminal        bool // standard input is a terminal, to be the process's own
}

// A Mount puts a file or folder of the view, or an empty memory folder if
// Source is "", into the container.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}

// DefaultCapabilities is what common runtimes give a container that asks for
// nothing.
var DefaultCapabilities = []string{
	"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID",
	"SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
}

// AllCapabilities is everything the kernel knows, by the names of a pod's
// security context.
func AllCapabilities() []string {
	known, err := capability.ListSupported()
	if err != nil {
		known = capability.ListKnown()
	}
	names := make([]string, len(known))
	for i, c := range known {
		names[i] = capabilityName(c)
	}
	return names
}
