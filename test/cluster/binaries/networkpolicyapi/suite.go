// Package networkpolicyapi pins the conformance suite of ClusterNetworkPolicy
// and the definitions it needs: the import keeps the requirements of the
// suite's test binary, which is built with go test -c.
package networkpolicyapi

import _ "sigs.k8s.io/network-policy-api/conformance"
