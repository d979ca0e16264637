package lab

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/dns"
	"github.com/bulkhead-dev/bulkhead/lab/listen"
	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// port is a port that listens.
type port struct {
	protocol traffic.Protocol
	number   uint16
}

func (p port) String() string { return fmt.Sprintf("%s %d", p.protocol, p.number) }

func comparePorts(a, b port) int {
	return cmp.Or(cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.number, b.number))
}

// answerer is who answers on a port.
type answerer struct {
	name string // "shop/backend", "node/node-1"
	kind answerKind
}

type answerKind uint8

const (
	greets answerKind = iota
	resolvesNames
	speaksSSH
)

// ports are the open ports of a namespace.
type ports struct {
	space *space.Space
	names *dns.Server
	open  map[port]opened
}

type opened struct {
	listen.Listener
	by answerer
}

func newPorts(s *space.Space, names *dns.Server) *ports {
	return &ports{space: s, names: names, open: map[port]opened{}}
}

// apply opens and closes what differs. A port that cannot be had is left out;
// why is for notes to tell.
func (p *ports) apply(desired map[port]answerer) error {
	for at, have := range p.open {
		if want, ok := desired[at]; !ok || want != have.by {
			delete(p.open, at)
			if err := have.Close(); err != nil {
				return fmt.Errorf("close %s of %s: %w", at, have.by.name, err)
			}
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(desired), comparePorts) {
		if _, ok := p.open[at]; ok {
			continue
		}
		l, err := p.listen(at, desired[at])
		if errors.Is(err, listen.ErrUnsupported) {
			continue
		}
		if err != nil {
			return fmt.Errorf("open %s of %s: %w", at, desired[at].name, err)
		}
		p.open[at] = opened{l, desired[at]}
	}
	return nil
}

func (p *ports) listen(at port, by answerer) (listen.Listener, error) {
	greeter := listen.Greeter{Name: fmt.Sprintf("%s %s", by.name, at)}
	stream, datagram := greeter.Stream, greeter.Datagram
	switch by.kind {
	case resolvesNames:
		stream, datagram = p.resolve(greeter), p.names.Datagram
	case speaksSSH:
		stream = listen.SSH
	}
	if at.protocol == traffic.UDP {
		return listen.OpenDatagram(p.space, at.number, datagram)
	}
	return listen.OpenStream(p.space, at.protocol, at.number, stream)
}

// resolve answers queries, and greets who asks for that. A query of the length
// that the probe's greeting would be is longer than any that a client sends.
func (p *ports) resolve(greeter listen.Greeter) listen.Stream {
	return func(conn net.Conn) {
		r := bufio.NewReader(conn)
		start, err := r.Peek(2)
		switch {
		case err != nil:
		case string(start) == "?\n":
			greeter.Stream(listen.Unread(conn, r))
		default:
			p.names.Stream(listen.Unread(conn, r))
		}
	}
}

// idle tells whether all that has arrived was answered.
func (p *ports) idle() (bool, error) {
	for _, l := range p.open {
		if idle, err := l.Idle(); !idle || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (p *ports) close() error {
	var errs []error
	for at, l := range p.open {
		errs = append(errs, l.Close())
		delete(p.open, at)
	}
	return errors.Join(errs...)
}

// The ports that every node has open.
const (
	sshPort     = 22
	kubeletPort = 10250
)

// nodePorts are the ports of a node and of the pods on its network. Of two pods
// that want the same port the first by name has it, as in a cluster, where the
// second does not start.
func nodePorts(s *cluster.Snapshot, node string) (desired map[port]answerer, taken []string) {
	name := "node/" + node
	desired = map[port]answerer{
		{traffic.TCP, sshPort}:     {name, speaksSSH},
		{traffic.TCP, kubeletPort}: {name, greets},
	}
	owner := map[port]cluster.Name{}
	for _, pod := range sortedPods(s) {
		if pod.Node != node || !pod.HostNetwork {
			continue
		}
		for at, by := range podPorts(pod) {
			if first, ok := owner[at]; ok {
				taken = append(taken, fmt.Sprintf("%s of %s answers as %s: both are on the network of %s", at, pod.Name, first, node))
				continue
			}
			owner[at], desired[at] = pod.Name, by
		}
	}
	slices.Sort(taken)
	return desired, taken
}

func podPorts(pod *cluster.Pod) map[port]answerer {
	desired := map[port]answerer{}
	for _, p := range pod.Ports {
		if !p.Protocol.HasPorts() {
			continue
		}
		by := answerer{name: pod.Name.String()}
		if p.Number == dns.Port && dns.Serves(pod) {
			by.kind = resolvesNames
		}
		desired[port{p.Protocol, p.Number}] = by
	}
	return desired
}

// hasSCTP tells whether the kernel has SCTP.
func hasSCTP() bool {
	fd, err := listen.Socket(unix.AF_INET, unix.SOCK_STREAM, traffic.SCTP)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// NoSCTP is the note of labs that cannot do without it.
const NoSCTP = "this kernel has no SCTP: nothing listens on SCTP ports, and connections to them are not tried"

// notes are what is not as it would be in a cluster.
func (l *Lab) notes() []string {
	var notes []string
	wantsSCTP := false
	for _, pod := range l.snapshot.Pods {
		wantsSCTP = wantsSCTP || slices.ContainsFunc(pod.Ports, func(p cluster.Port) bool { return p.Protocol == traffic.SCTP })
	}
	if wantsSCTP && !hasSCTP() {
		notes = append(notes, NoSCTP)
	}
	for _, name := range slices.Sorted(maps.Keys(l.nodes)) {
		_, taken := nodePorts(l.snapshot, name)
		notes = append(notes, taken...)
	}
	return notes
}
