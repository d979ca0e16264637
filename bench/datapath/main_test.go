package main

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, row := range []struct {
		args, wrong string // wrong: part of the error; empty: fine
	}{
		{"", ""},
		{"-rounds 1 -duration 10ms -policies 10 -o json", ""},
		{"-rounds 0", "at least one round"},
		{"-duration 0s", "a duration"},
		{"-pods 999", "1,000 pods"},
		{"-policies 2", "from 3 to 50000"},
		{"-policies 50001", "from 3 to 50000"},
		{"-policies ten", "from 3 to 50000"},
		{"-o xml", "table or json"},
	} {
		_, err := parse(strings.Fields(row.args))
		if row.wrong == "" && err != nil || row.wrong != "" && (err == nil || !strings.Contains(err.Error(), row.wrong)) {
			t.Errorf("%q: error %v, want %q", row.args, err, row.wrong)
		}
	}
}

func TestWants(t *testing.T) {
	for _, row := range []struct {
		only, name string
		want       bool
	}{
		{"", "iptables-10", true},
		{"bulkhead", "bulkhead-10-selected", true},
		{"bulkhead", "iptables-10", false},
		{"bulkhead", plainName, true}, // every ratio is of it
		{"none,iptables", noneName, true},
	} {
		var args []string
		if row.only != "" {
			args = []string{"-variants", row.only}
		}
		o, err := parse(args)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.wants(row.name); got != row.want {
			t.Errorf("-variants %q wants %s: %t", row.only, row.name, got)
		}
	}
}
