package policy

import "strings"

// Keys under which selectors find what an object has from its namespace and its
// service account. No label can have such a key.
const (
	NamespaceKey    = "@namespace"  // the namespace's name
	NamespaceLabels = "@namespace/" // before a label of the namespace
	AccountKey      = "@account"    // the service account's name
	AccountLabels   = "@account/"   // before a label of the service account
)

// Labels are an object's labels as selectors see them: its own, and those of its
// namespace and service account under keys of their own. A pointer to them is a
// labels.Labels of apimachinery.
type Labels struct {
	Own       map[string]string
	Namespace Origin // zero: the object is in none
	Account   Origin // zero: the object has none
}

// Origin is an object that lends its name and labels.
type Origin struct {
	Name   string
	Labels map[string]string
}

// Lookup is a label's value and whether there is one.
func (l *Labels) Lookup(key string) (value string, exists bool) {
	if key == "" || key[0] != '@' {
		value, exists = l.Own[key]
		return value, exists
	}
	if value, exists = l.Namespace.lookup(key, NamespaceKey); exists {
		return value, exists
	}
	return l.Account.lookup(key, AccountKey)
}

func (o Origin) lookup(key, name string) (value string, exists bool) {
	rest, ok := strings.CutPrefix(key, name)
	switch {
	case !ok || o.Name == "":
		return "", false
	case rest == "":
		return o.Name, true
	case rest[0] == '/':
		value, exists = o.Labels[rest[1:]]
	}
	return value, exists
}

// Has tells whether there is a label.
func (l *Labels) Has(key string) bool {
	_, exists := l.Lookup(key)
	return exists
}

// Get is a label's value, empty if there is none.
func (l *Labels) Get(key string) string {
	value, _ := l.Lookup(key)
	return value
}
