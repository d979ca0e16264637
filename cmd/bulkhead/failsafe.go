package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// noFailsafes is the choice of no port at all.
const noFailsafes = "none"

// failsafes reads --failsafe-in and --failsafe-out; nil: neither was given.
func (f *agentFlags) failsafes() (*policy.Failsafes, error) {
	if f.failsafeIn == nil && f.failsafeOut == nil {
		return nil, nil
	}
	chosen := policy.DefaultFailsafes()
	for _, flag := range []struct {
		name string
		text []string
		list *[]policy.Failsafe
	}{
		{"--failsafe-in", f.failsafeIn, &chosen.Ingress}, {"--failsafe-out", f.failsafeOut, &chosen.Egress},
	} {
		if flag.text == nil {
			continue
		}
		*flag.list = nil
		if slices.Equal(flag.text, []string{noFailsafes}) {
			continue
		}
		for _, text := range flag.text {
			port, err := policy.ParseFailsafe(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", flag.name, err)
			}
			*flag.list = append(*flag.list, port)
		}
	}
	return &chosen, nil
}

func failsafeList(ports []policy.Failsafe) string {
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = p.String()
	}
	return strings.Join(words, ",")
}
