package main

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/policy"
)

func TestFailsafeFlags(t *testing.T) {
	defaults := policy.DefaultFailsafes()
	for _, row := range []struct {
		in, out         []string
		wantIn, wantOut string
		err             string
	}{
		{nil, []string{"tcp:443"}, failsafeList(defaults.Ingress), "tcp:443", ""},
		{[]string{"none"}, nil, "", failsafeList(defaults.Egress), ""},
		{[]string{"tcp:10.0.0.0/8:22", "tcp:6443"}, []string{"none"}, "tcp:10.0.0.0/8:22,tcp:6443", "", ""},
		{[]string{"none", "tcp:22"}, nil, "", "", `--failsafe-in: failsafe port "none": write PROTOCOL:PORT or PROTOCOL:CIDR:PORT, for example tcp:22 or tcp:10.0.0.0/8:22`},
	} {
		got, err := (&agentFlags{failsafeIn: row.in, failsafeOut: row.out}).failsafes()
		if err != nil {
			if err.Error() != row.err {
				t.Errorf("%v %v: %v", row.in, row.out, err)
			}
			continue
		}
		if in, out := failsafeList(got.Ingress), failsafeList(got.Egress); in != row.wantIn || out != row.wantOut {
			t.Errorf("%v %v: in %s, out %s", row.in, row.out, in, out)
		}
	}
	if got, err := (&agentFlags{}).failsafes(); got != nil || err != nil {
		t.Errorf("without flags: %v, %v", got, err)
	}
}
