package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseConnect(t *testing.T) {
	for _, c := range []struct {
		args    string
		target  string
		timeout time.Duration
		ok      bool
	}{
		{"10.0.0.1:80 --timeout=3s --protocol=sctp", "10.0.0.1:80", 3 * time.Second, true},
		{"--protocol sctp --timeout 3s [fd00::1]:80", "[fd00::1]:80", 3 * time.Second, true},
		{"10.0.0.1:80 --protocol=sctp", "10.0.0.1:80", defaultTimeout, true},
		{"10.0.0.1:80 --protocol=tcp", "", 0, false},
		{"10.0.0.1:80", "", 0, false},
		{"--protocol=sctp", "", 0, false},
	} {
		target, timeout, _, ok := parseConnect(strings.Fields(c.args))
		if target != c.target || timeout != c.timeout || ok != c.ok {
			t.Errorf("%s: got %q, %v, %v", c.args, target, timeout, ok)
		}
	}
}

func TestSCTPPorts(t *testing.T) {
	values, rest := sctpPorts([]string{"PATH=/bin", "SERVE_SCTP_PORT_80=foo", "SERVE_PORT_80=bar", "SERVE_SCTP_PORT_81=", "SERVE_SCTP_PORT_x=y"})
	if want := map[uint16]string{80: "foo", 81: ""}; !maps.Equal(values, want) {
		t.Errorf("ports are %v, not %v", values, want)
	}
	if want := []string{"PATH=/bin", "SERVE_PORT_80=bar", "SERVE_SCTP_PORT_x=y"}; !slices.Equal(rest, want) {
		t.Errorf("the rest is %v, not %v", rest, want)
	}
}
