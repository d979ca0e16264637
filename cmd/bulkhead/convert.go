package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/convert"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/policy"
)

const convertHelp = `Write policies in the words of another API, with the same meaning.

What is printed is all policies of PATH in that API, those that were of it before
included. What it cannot say is named on standard error, field by field; then nothing
is printed, for a part of the policies could let through what all of them deny.

A conversion is proved before it is printed: the result is read back, and every
connection that its matrix or that of PATH asks about must get the same answer in the
cluster that PATH declares, or where it has no pods, in one that is made up of what the
policies select.

The exit code is 0 if everything was carried over, 1 if not, and 2 for bad input.`

// dialect is policy.Dialect as a flag.
type dialect policy.Dialect

var dialectNames = map[string]policy.Dialect{
	"networkpolicy": policy.Kubernetes, "clusternetworkpolicy": policy.ClusterNetwork, "calico": policy.Calico, "cilium": policy.Cilium,
}

// dialectGroups are the API groups of the dialects.
var dialectGroups = map[policy.Dialect]string{
	policy.Kubernetes: "networking.k8s.io/", policy.ClusterNetwork: "policy.networking.k8s.io/",
	policy.Calico: "projectcalico.org/", policy.Cilium: "cilium.io/",
}

func (d *dialect) String() string {
	for name, known := range dialectNames {
		if known == policy.Dialect(*d) {
			return name
		}
	}
	return ""
}

func (d *dialect) Set(s string) error {
	known, ok := dialectNames[s]
	if !ok {
		return fmt.Errorf("unknown dialect %q: use %s", s, d.Type())
	}
	*d = dialect(known)
	return nil
}

func (d *dialect) Type() string { return "networkpolicy|clusternetworkpolicy|calico|cilium" }

func newConvertCommand() *cobra.Command {
	var in input
	var to dialect
	cmd := &cobra.Command{
		Use:     "convert PATH... --to DIALECT",
		Short:   "Write policies in another API's words",
		Long:    convertHelp,
		GroupID: groupModel,
		Example: `  bulkhead convert examples/web-shop --to calico
  bulkhead convert examples/cluster-guard-calico --to cilium > policies.yaml`,
		Args: usage(needPaths),
		RunE: func(cmd *cobra.Command, paths []string) error {
			if to == 0 {
				return badInput(fmt.Errorf("no dialect given: use --to %s", to.Type()))
			}
			return convertPolicies(cmd, paths, &in, policy.Dialect(to))
		},
	}
	in.addFlags(cmd)
	cmd.Flags().Var(&to, "to", "the API to write")
	return cmd
}

func convertPolicies(cmd *cobra.Command, paths []string, in *input, to policy.Dialect) error {
	bundle, err := in.load(cmd, paths)
	if err != nil {
		return err
	}
	said := cmd.ErrOrStderr()
	for _, s := range bundle.Policies.Staged {
		fmt.Fprintf(said, "note: %s %s is staged, and is not converted\n", s.Kind, s.Ref)
	}
	result := convert.Convert(bundle.Policies, bundle.Snapshot, to)
	for _, note := range result.Notes {
		fmt.Fprintln(said, "note:", note)
	}
	for _, loss := range result.Losses {
		fmt.Fprintln(said, "not carried over:", loss)
	}
	if len(result.Losses) > 0 {
		return errNo
	}
	if err := prove(said, bundle, result, to); err != nil {
		return err
	}
	return writePolicies(cmd.OutOrStdout(), bundle, result, to)
}

// prove compares the result with what it was made from.
func prove(said io.Writer, bundle *manifest.Bundle, result *convert.Result, to policy.Dialect) error {
	after, err := result.Read(bundle.Policies, to)
	if err != nil {
		return fmt.Errorf("prove the conversion: %w", err)
	}
	snapshot, where := bundle.Snapshot, "in the cluster of the input"
	if len(snapshot.Pods) == 0 {
		snapshot, where = convert.Synthetic(bundle.Policies), "in a cluster made up of what the policies select, for the input has no pods"
	}
	asked, differ := convert.Prove(snapshot, bundle.Policies, after)
	for _, d := range differ {
		fmt.Fprintln(said, "not the same:", d)
	}
	if len(differ) > 0 {
		fmt.Fprintf(said, "%d of %d connections get another answer %s\n", len(differ), asked, where)
		return errNo
	}
	fmt.Fprintf(said, "proved: all %d connections get the same answer %s\n", asked, where)
	return nil
}

// writePolicies writes YAML documents.
func writePolicies(out io.Writer, bundle *manifest.Bundle, result *convert.Result, to policy.Dialect) error {
	var documents []map[string]json.RawMessage
	for i, o := range bundle.Objects {
		if !strings.HasPrefix(o.APIVersion, dialectGroups[to]) || strings.HasPrefix(o.Kind, "Staged") {
			continue
		}
		fields, err := bundle.Fields(i)
		if err != nil {
			return err
		}
		documents = append(documents, fields)
	}
	for _, o := range result.Objects {
		fields, err := fieldsOf(o)
		if err != nil {
			return err
		}
		documents = append(documents, fields)
	}
	for i, fields := range documents {
		delete(fields, "status")
		text, err := yaml.Marshal(fields)
		if err != nil {
			return fmt.Errorf("write policies: %w", err)
		}
		if i > 0 {
			text = slices.Concat([]byte("---\n"), text)
		}
		if _, err := out.Write(text); err != nil {
			return fmt.Errorf("write policies: %w", err)
		}
	}
	return nil
}

func fieldsOf(o metav1.Object) (fields map[string]json.RawMessage, err error) {
	text, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", o.GetName(), err)
	}
	return fields, nil
}
