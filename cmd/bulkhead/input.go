package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// input is the flags of commands that read manifests.
type input struct {
	nodes    int
	families families
}

func (in *input) addFlags(cmd *cobra.Command) {
	cmd.Flags().IntVar(&in.nodes, "nodes", 0, "there are `N` nodes, where the input declares none")
	cmd.Flags().Var(&in.families, "families", "the address families of pods, where the input gives no addresses")
}

// load reads the manifests of the PATH arguments. Its errors are bad input.
func (in *input) load(cmd *cobra.Command, paths []string) (*manifest.Bundle, error) {
	options := manifest.Options{Nodes: in.nodes, Families: manifest.Families(in.families)}
	bundle, err := manifest.Load(paths, options, cmd.InOrStdin())
	if err != nil {
		return nil, badInput(err)
	}
	for _, warning := range bundle.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
	}
	return bundle, nil
}

// needPaths is a check of arguments.
func needPaths(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New(`no manifests given: name a file, a folder or "-"`)
	}
	return nil
}

// families is manifest.Families as a flag.
type families manifest.Families

var familyNames = []string{manifest.AutoFamilies: "auto", manifest.IPv4: "ipv4", manifest.IPv6: "ipv6", manifest.DualStack: "dual"}

func (f *families) String() string { return familyNames[*f] }

func (f *families) Set(s string) error {
	i := slices.Index(familyNames, s)
	if i < 0 {
		return fmt.Errorf("unknown families %q: use %s", s, strings.Join(familyNames, ", "))
	}
	*f = families(i)
	return nil
}

func (f *families) Type() string { return strings.Join(familyNames, "|") }
