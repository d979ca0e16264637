package agent

import (
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/kube"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// A HostEndpoint of the API server is told twice: as the host that policies
// protect, and as the addresses that selectors find it by. Both go with it.
func TestHostEndpointsAreTold(t *testing.T) {
	d := emptyDialects()
	kinds := manifest.DefinedKinds()
	for _, kind := range kinds {
		d.tables = append(d.tables, definedTable{kind: kind})
	}
	const api = "projectcalico.org/v3"
	i := slices.IndexFunc(kinds, func(k manifest.Defined) bool { return k.Group == "projectcalico.org" && k.Kind == "HostEndpoint" })
	body, err := yaml.YAMLToJSON([]byte(`{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: n1}, spec: {node: n1, interfaceName: "*", expectedIPs: [10.0.0.1]}}`))
	if err != nil {
		t.Fatal(err)
	}
	name := cluster.Name{Name: "n1"}
	change := kube.Change[*content]{Object: kube.Object{APIVersion: api, Kind: "HostEndpoint", Name: name}, Value: readContent(&kinds[i], api, body).Value}
	ref := policy.Ref{Dialect: policy.Calico, Kind: "HostEndpoint", Name: "n1"}
	var came Batch
	d.apply(&came, map[origin]kube.Change[*content]{{i, name}: change})
	if h := came.Hosts[ref]; h == nil || h.Node != "n1" || h.Device != policy.AllDevices || came.Networks[ref] == nil {
		t.Errorf("host %+v, networks %+v", h, came.Networks[ref])
	}
	change.Gone = true
	var went Batch
	d.apply(&went, map[origin]kube.Change[*content]{{i, name}: change})
	if h, told := went.Hosts[ref]; !told || h != nil {
		t.Errorf("after it is gone, the host is %+v, told %t", h, told)
	}
	if came.Empty() || went.Empty() {
		t.Error("a batch with a host is empty")
	}
}

// A line more in a file changes no host.
func TestHostsOfFolders(t *testing.T) {
	bundle := func(node string, line int) *manifest.Bundle {
		b := &manifest.Bundle{Snapshot: cluster.NewSnapshot(), Policies: policy.NewSet()}
		ref := policy.Ref{Name: "n1"}
		b.Policies.Hosts[ref] = &policy.Host{Ref: ref, Node: node, Source: policy.Source{File: "hosts.yaml", Line: line}}
		return b
	}
	if d := difference(bundle("n1", 1), bundle("n1", 7)); len(d.Hosts) != 0 {
		t.Errorf("hosts %v", d.Hosts)
	}
	if d := difference(bundle("n1", 1), bundle("n2", 1)); len(d.Hosts) != 1 {
		t.Errorf("hosts %v", d.Hosts)
	}
}
