// Package crds makes CustomResourceDefinitions for the policies of other engines,
// for clusters where the engine is absent.
//
// The schemas come from the Go types that the readers read, by reflection, and
// from a table of the limits that the APIs' own definitions check. They accept what
// those accept: where an API grows faster than its readers, fields that the types
// do not have are kept, so that an agent can tell of them. Of policy.networking.k8s.io,
// whose types are the API's own, they are pruned, as its own definitions do.
//
// Who installs them must not replace those of an engine that is there; each has the
// label Label to be known by. The package does no I/O; its values are the caller's.
package crds

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// Label is on every definition that is made here, with the value LabelValue.
const (
	Label      = "bulkhead.dev/definition" // one that Helm leaves alone
	LabelValue = "generated"
)

// APIs are the names of the sets of definitions, with the groups of each.
var apis = map[string][]string{
	"policy": {"policy.networking.k8s.io"},
	"calico": {"projectcalico.org", "crd.projectcalico.org"},
	"cilium": {"cilium.io"},
}

// APIs are the names of the sets of definitions.
func APIs() []string { return []string{"policy", "calico", "cilium"} }

// Definition is a CustomResourceDefinition, as its JSON decodes.
type Definition struct {
	Name   string
	Object map[string]any
}

// Of are the definitions of a set.
func Of(api string) ([]Definition, error) {
	groups, ok := apis[api]
	if !ok {
		return nil, fmt.Errorf("unknown API %q: use %s", api, strings.Join(APIs(), ", "))
	}
	var all []Definition
	for _, kind := range manifest.DefinedKinds() {
		if slices.Contains(groups, kind.Group) {
			all = append(all, define(kind))
		}
	}
	return all, nil
}

// YAML is the definitions as documents of one file.
func YAML(definitions []Definition) ([]byte, error) {
	var b bytes.Buffer
	for _, d := range definitions {
		text, err := yaml.Marshal(d.Object)
		if err != nil {
			return nil, fmt.Errorf("write definition %s: %w", d.Name, err)
		}
		b.WriteString("---\n")
		b.Write(text)
	}
	return b.Bytes(), nil
}

// approvals are where the API of a kind was approved, which the API server wants to
// know of groups of Kubernetes itself.
var approvals = map[string]string{
	"ClusterNetworkPolicy":       "https://github.com/kubernetes-sigs/network-policy-api/pull/347",
	"AdminNetworkPolicy":         "https://github.com/kubernetes-sigs/network-policy-api/pull/30",
	"BaselineAdminNetworkPolicy": "https://github.com/kubernetes-sigs/network-policy-api/pull/30",
}

// shortNames are those that people know from the engines.
var shortNames = map[string][]any{
	"ClusterNetworkPolicy": {"cnp"}, "AdminNetworkPolicy": {"anp"}, "BaselineAdminNetworkPolicy": {"banp"},
	"CiliumNetworkPolicy": {"cnp", "ciliumnp"}, "CiliumClusterwideNetworkPolicy": {"ccnp"}, "CiliumCIDRGroup": {"ccg"},
}

func define(kind manifest.Defined) Definition {
	name := kind.Resource + "." + kind.Group
	metadata := map[string]any{"name": name, "labels": map[string]any{Label: LabelValue}}
	if url := approvals[kind.Kind]; url != "" {
		metadata["annotations"] = map[string]any{"api-approved.kubernetes.io": url}
	}
	names := map[string]any{
		"kind": kind.Kind, "listKind": kind.Kind + "List", "plural": kind.Resource, "singular": strings.ToLower(kind.Kind),
	}
	if short := shortNames[kind.Kind]; short != nil {
		names["shortNames"] = short
	}
	scope := "Namespaced"
	if kind.ClusterWide() {
		scope = "Cluster"
	}
	var versions []any
	for i, version := range served(kind) {
		versions = append(versions, versionOf(kind, version, i == 0))
	}
	return Definition{name, map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata,
		"spec": map[string]any{"group": kind.Group, "names": names, "scope": scope, "versions": versions},
	}}
}

// served are the versions that an API's own definition serves.
func served(kind manifest.Defined) []string {
	if kind.Group == "policy.networking.k8s.io" {
		return kind.Versions[:1] // a later one is announced
	}
	return kind.Versions
}

func versionOf(kind manifest.Defined, version string, stored bool) map[string]any {
	of := maker{keep: !kind.Conditions()}
	root := of.schema(reflect.TypeOf(kind.New()).Elem())
	delete(root, "x-kubernetes-preserve-unknown-fields") // metadata is the API server's
	properties := root["properties"].(map[string]any)
	properties["metadata"] = map[string]any{"type": "object"}
	limit(kind.Kind, root)
	v := map[string]any{
		"name": version, "served": true, "storage": stored, "schema": map[string]any{"openAPIV3Schema": root},
	}
	if kind.Conditions() {
		v["subresources"] = map[string]any{"status": map[string]any{}}
	} else if properties["status"] == nil {
		properties["status"] = of.anything()
	}
	if columns := columnsOf(properties); columns != nil {
		v["additionalPrinterColumns"] = columns
	}
	return v
}

// columnsOf are what a list shows beside names.
func columnsOf(properties map[string]any) []any {
	spec, ok := properties["spec"].(map[string]any)
	if !ok {
		return nil
	}
	var columns []any
	for _, name := range []string{"tier", "priority", "order"} {
		property, has := spec["properties"].(map[string]any)[name].(map[string]any)
		if !has {
			continue
		}
		columns = append(columns, map[string]any{
			"name": strings.ToUpper(name[:1]) + name[1:], "type": property["type"], "jsonPath": ".spec." + name,
		})
	}
	if columns == nil {
		return nil
	}
	return append(columns, map[string]any{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})
}
