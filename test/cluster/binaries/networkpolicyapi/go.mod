// The conformance suite of ClusterNetworkPolicy.
module github.com/bulkhead-dev/bulkhead/test/cluster/binaries/networkpolicyapi

go 1.26.0

require sigs.k8s.io/network-policy-api v0.2.0
