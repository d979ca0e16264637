package nft

import (
	"bytes"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func TestComment(t *testing.T) {
	long := strings.Repeat("x", 60)
	for _, row := range []struct {
		prefix string
		parts  []string
		want   string
	}{
		{"", nil, ""},
		{"", []string{"a/b"}, "a/b"},
		{"", []string{"a/b", "c/d"}, "a/b; c/d"},
		{"node ", []string{"one"}, "node one"},
		{"", []string{long, long, long, "last"}, long + "; +3 more"},
		{"", []string{long, "short", long, long}, long + "; short; +2 more"},
		{"", []string{strings.Repeat("y", 200)}, strings.Repeat("y", 124) + "..."},
		{"", []string{strings.Repeat("y", 200), "z"}, strings.Repeat("y", 115) + "...; +1 more"},
		{"", []string{`a == "b"`, "line\nbreak"}, "a == 'b'; line break"},
	} {
		if got := comment(row.prefix, row.parts); got != row.want {
			t.Errorf("comment(%q, %q) = %q, want %q", row.prefix, row.parts, got, row.want)
		}
	}
}

// FuzzComment: nft takes every comment, and one that was not shortened can be
// taken apart again.
func FuzzComment(f *testing.F) {
	f.Add("node ", "a/b", "c/d", 3)
	f.Add("", strings.Repeat("é", 100), "", 1)
	f.Fuzz(func(t *testing.T, prefix, a, b string, n int) {
		if len(prefix) > 20 || strings.ContainsAny(prefix, "\"\n") {
			return
		}
		parts := []string{a}
		for range n % 50 {
			parts = append(parts, b)
		}
		got := comment(prefix, parts)
		if len(got) > commentMax || strings.ContainsAny(got, "\"\n") {
			t.Errorf("nft does not print %q", got)
		}
		if !strings.HasPrefix(got, prefix) {
			t.Errorf("%q does not begin with %q", got, prefix)
		}
	})
}

func TestClassNames(t *testing.T) {
	for _, row := range []struct {
		name      string
		direction traffic.Direction
		id        plan.ClassID
		rest      string
		ok        bool
	}{
		{"egress_000000ff", traffic.Egress, 255, "", true},
		{"ingress_ffffffff_reply", traffic.Ingress, 1<<32 - 1, "_reply", true},
		{"ingress_00000001_any_ports_deny", traffic.Ingress, 1, "_any_ports_deny", true},
		{"egress4", 0, 0, "", false},
		{"egress_classes", 0, 0, "", false},
		{"egress_replies", 0, 0, "", false},
		{"egress_reply_00", 0, 0, "", false},
		{"ingress_000000x1", 0, 0, "", false},
		{"peers4", 0, 0, "", false},
	} {
		direction, id, rest, ok := parseClassName(row.name)
		if direction != row.direction || id != row.id || rest != row.rest || ok != row.ok {
			t.Errorf("parseClassName(%q) = %v, %s, %q, %t", row.name, direction, id, rest, ok)
		}
		if ok && className(direction, id)+rest != row.name {
			t.Errorf("%q becomes %q", row.name, className(direction, id)+rest)
		}
	}
}

func TestRowsComeBack(t *testing.T) {
	for _, row := range []plan.Row{
		{Peer: 0x01020304, Protocol: traffic.TCP, From: 80, To: 80},
		{Peer: 0x01020304, Protocol: traffic.UDP, From: 80, To: 65535},
		{Peer: 0x01020304, Protocol: traffic.SCTP, From: 0, To: 1},
		{Peer: 0xffffffff, Protocol: traffic.ICMP, From: 0, To: 65535},
		{Peer: 1, Protocol: traffic.TCP, From: 0, To: 0},
		{Peer: 1},
		{AnyPeer: true, Protocol: traffic.TCP, From: 80, To: 80},
		{AnyPeer: true, Protocol: traffic.TCP, From: 80, To: 81},
		{Peer: 0x01020304, Protocol: traffic.ICMP, From: 0x0800, To: 0x0800},
		{Peer: 0x01020304, Protocol: traffic.ICMPv6, From: 0x8000, To: 0x80ff},
		{Peer: 1, Protocol: traffic.ICMP, From: 0, To: 0},
		{AnyPeer: true, Protocol: traffic.ICMP, From: 0x0800, To: 0x0800},
		{AnyPeer: true, Protocol: traffic.ICMPv6, From: 0x8000, To: 0x80ff},
		{AnyPeer: true, Protocol: 253, From: 0, To: 65535},
	} {
		kind, err := kindOf(row)
		if err != nil {
			t.Errorf("%s: %v", row, err)
			continue
		}
		e := rowElement(kind, row)
		if want := int(kindTypes[kind].keyLen); len(e.key) != want || e.keyEnd != "" && len(e.keyEnd) != want {
			t.Errorf("%s: key of %d bytes, want %d", row, len(e.key), want)
		}
		if got := elementRow(kind, e); got != row {
			t.Errorf("%s comes back as %s", row, got)
		}
	}
}

// TestCanonical: the kernel sorts attributes, adds defaults and leaves out marks;
// a rule with another value stays another.
func TestCanonical(t *testing.T) {
	sent, err := encodeExprs(exprs(isFamily(families[0]), hasLabel(127), hasNotState(stateNew), count("x"), jump("y")))
	if err != nil {
		t.Fatal(err)
	}
	other, err := encodeExprs(exprs(isFamily(families[0]), hasLabel(126), hasNotState(stateNew), count("x"), jump("y")))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(canonical(sent), canonical(other)) {
		t.Error("canonical forms do not tell labels apart")
	}
	for _, wrong := range [][]byte{{1}, {255, 255, 0, 0}, append([]byte{8, 0, 1, 128}, sent[:4]...)} {
		canonical(wrong) // no panic
	}
}

// FuzzRead: what another program left in the kernel is read without a panic.
func FuzzRead(f *testing.F) {
	f.Add([]byte{0, 3, 'a', 'b', 0})
	f.Add([]byte{0, 255, 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := commentIn(b, commentType); len(got) > len(b) {
			t.Errorf("comment of %d bytes in %d", len(got), len(b))
		}
		e := parseElement(b)
		_ = e.id()
		canonical(b)
	})
}
