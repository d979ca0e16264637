// Package traffic holds the words that every other package uses of a packet:
// its protocol, its direction as seen from a pod, and the verdict on it.
//
// It is a leaf: it imports nothing of the project and does no I/O.
package traffic

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Protocol is an IANA protocol number. Zero stands for every protocol where a
// rule is meant, and is invalid where a packet is meant.
type Protocol uint8

// The protocols that policies name.
const (
	AnyProtocol Protocol = 0
	ICMP        Protocol = 1
	TCP         Protocol = 6
	UDP         Protocol = 17
	ICMPv6      Protocol = 58
	SCTP        Protocol = 132
)

var protocolNames = map[Protocol]string{
	AnyProtocol: "ANY", ICMP: "ICMP", TCP: "TCP", UDP: "UDP", ICMPv6: "ICMPv6", SCTP: "SCTP",
}

// String is the name that Kubernetes uses, or the number.
func (p Protocol) String() string {
	if name, ok := protocolNames[p]; ok {
		return name
	}
	return strconv.Itoa(int(p))
}

// HasPorts tells whether the protocol's header starts with a source and a
// destination port.
func (p Protocol) HasPorts() bool { return p == TCP || p == UDP || p == SCTP }

// HasTypes tells whether the protocol's header starts with a type and a code.
func (p Protocol) HasTypes() bool { return p == ICMP || p == ICMPv6 }

// ICMPPort is what stands for an ICMP type and code where other protocols have a
// port.
func ICMPPort(kind, code uint8) uint16 { return uint16(kind)<<8 | uint16(code) }

// MarshalText writes the protocol's name.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (p *Protocol) UnmarshalText(text []byte) error {
	parsed, err := ParseProtocol(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}

// ParseProtocol reads a name in any case, or a number from 1 to 255.
func ParseProtocol(s string) (Protocol, error) {
	for p, name := range protocolNames {
		if p != AnyProtocol && strings.EqualFold(s, name) {
			return p, nil
		}
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n == 0 {
		return AnyProtocol, fmt.Errorf("unknown protocol %q: use TCP, UDP, SCTP, ICMP, ICMPv6 or a number from 1 to 255", s)
	}
	return Protocol(n), nil
}

// Direction is a connection's direction as seen from the pod that a policy
// protects. Its zero value is invalid.
type Direction uint8

// The two directions.
const (
	Ingress Direction = iota + 1
	Egress
)

// String is "ingress" or "egress".
func (d Direction) String() string {
	switch d {
	case Ingress:
		return "ingress"
	case Egress:
		return "egress"
	}
	return fmt.Sprintf("Direction(%d)", uint8(d))
}

// Verdict is what happens to a connection. Its zero value is Deny, so that
// nothing is allowed by having been forgotten.
type Verdict uint8

// The verdicts. A connection that is inspected goes through the node's proxy,
// which lets pass what its rules allow.
const (
	Deny Verdict = iota
	Allow
	InspectHTTP // each request is judged
	InspectDNS  // each query is judged, and answers are learned from
)

var verdictNames = [...]string{Deny: "deny", Allow: "allow", InspectHTTP: "http", InspectDNS: "dns"}

// Opens tells whether the connection comes about, with or without a proxy.
func (v Verdict) Opens() bool { return v != Deny }

// Inspects tells whether the connection goes through a proxy.
func (v Verdict) Inspects() bool { return v == InspectHTTP || v == InspectDNS }

// And is for a connection that two have a say in: each may deny it or have it
// inspected. What would have to be two protocols at once is denied.
func (v Verdict) And(o Verdict) Verdict {
	switch {
	case v == Allow:
		return o
	case o == Allow || v == o:
		return v
	}
	return Deny
}

// String is "deny", "allow", "http" or "dns".
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("Verdict(%d)", uint8(v))
}

// MarshalText writes the verdict as String does.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (v *Verdict) UnmarshalText(text []byte) error {
	i := slices.Index(verdictNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("unknown verdict %q: use allow, deny, http or dns", text)
	}
	*v = Verdict(i)
	return nil
}
