package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/policy"
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
//
// Pods get IPv6 addresses only if the input speaks of IPv6 or the user asks for
// them: whoever writes 0.0.0.0/0 for "everybody" and has a cluster without IPv6
// is right, and would be told of addresses that nobody has.
func (in *input) load(cmd *cobra.Command, paths []string) (*manifest.Bundle, error) {
	options := manifest.Options{Nodes: in.nodes, Families: manifest.Families(in.families)}
	if options.Families != manifest.AutoFamilies {
		bundle, err := manifest.Load(paths, options, cmd.InOrStdin())
		return bundle, badInput(err)
	}
	var piped bytes.Buffer
	options.Families = manifest.IPv4
	bundle, err := manifest.Load(paths, options, io.TeeReader(cmd.InOrStdin(), &piped))
	if err == nil && !speaksIPv6(bundle) {
		return bundle, nil
	}
	options.Families = manifest.AutoFamilies
	bundle, err = manifest.Load(paths, options, io.MultiReader(&piped, cmd.InOrStdin()))
	return bundle, badInput(err)
}

// speaksIPv6 tells whether a cluster that got no IPv6 addresses has some all the
// same, or a policy names some.
func speaksIPv6(b *manifest.Bundle) bool {
	for _, pod := range b.Snapshot.Pods {
		if slices.ContainsFunc(pod.Addrs, netip.Addr.Is6) {
			return true
		}
	}
	for _, node := range b.Snapshot.Nodes {
		if slices.ContainsFunc(node.Addrs, netip.Addr.Is6) ||
			slices.ContainsFunc(node.PodCIDRs, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
			return true
		}
	}
	for _, p := range b.Policies.Policies {
		if rulesSpeakIPv6(p.Ingress) || rulesSpeakIPv6(p.Egress) {
			return true
		}
	}
	return false
}

func rulesSpeakIPv6(rules *policy.Rules) bool {
	if rules == nil {
		return false
	}
	return slices.ContainsFunc(rules.Rules, func(r policy.Rule) bool {
		return slices.ContainsFunc(r.Peers, func(p policy.Peer) bool { return p.CIDR != nil && p.CIDR.Prefix.Addr().Is6() })
	})
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
