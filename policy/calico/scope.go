package calico

import (
	"strings"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/calico/selector"
)

// scope is what the labels of a field's selector belong to.
type scope uint8

const (
	endpoints        scope = iota // pods, networks and hosts
	accounts                      // their service accounts
	inNamespaces                  // their namespaces
	entityNamespaces              // likewise, where global() is known
)

// Names that Calico gives to what is not a label.
const (
	namespaceLabel    = "projectcalico.org/namespace"
	accountLabel      = "projectcalico.org/serviceaccount"
	orchestratorLabel = "projectcalico.org/orchestrator"
	nameLabel         = "projectcalico.org/name"
	namespacePrefix   = "pcns."
	accountPrefix     = "pcsa."
)

var (
	namespaced = selector.Has(policy.NamespaceKey)
	global     = selector.Not(namespaced)
	isPod      = selector.Has(policy.AccountKey) // hosts and networks have none
)

// read is the selector as it asks policy.Labels.
func (s scope) read(written *selector.Selector) *selector.Selector {
	switch s {
	case accounts:
		return written.Rename(accountKey)
	case inNamespaces, entityNamespaces:
		return written.Rename(namespaceKey).Scope(namespaced, global)
	}
	return written.Constant(orchestratorLabel, "k8s", isPod).Rename(endpointKey)
}

func accountKey(key string) string {
	if key == nameLabel {
		return policy.AccountKey
	}
	return policy.AccountLabels + key
}

func namespaceKey(key string) string {
	if key == nameLabel {
		return policy.NamespaceKey
	}
	return policy.NamespaceLabels + key
}

// endpointKey: an endpoint has the labels of its namespace and service account
// behind prefixes.
func endpointKey(key string) string {
	switch key {
	case namespaceLabel:
		return policy.NamespaceKey
	case accountLabel:
		return policy.AccountKey
	}
	if label, ok := strings.CutPrefix(key, namespacePrefix); ok {
		return namespaceKey(label)
	}
	if label, ok := strings.CutPrefix(key, accountPrefix); ok {
		return accountKey(label)
	}
	return key
}
