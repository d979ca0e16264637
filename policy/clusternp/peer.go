package clusternp

import (
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/syntax"
)

const mostNetworks = 25 // and domain names, of one peer

// peers tells whether all peers of a rule are understood.
func (r *reader) peers(to *policy.Rule, peers []peer, path *field.Path, most int, choice string) bool {
	ok := true
	if len(peers) == 0 {
		ok = r.fail(field.Required(path, "list at least one peer; namespaces: {} is every pod"))
	}
	r.atMost(path, len(peers), most)
	for i, p := range peers {
		ok = r.one(path.Index(i), p.given(), choice) && r.peer(to, p, path.Index(i)) && ok
	}
	return ok
}

func (r *reader) peer(to *policy.Rule, p peer, path *field.Path) bool {
	switch {
	case p.networks != nil:
		return r.networks(to, p.networks, path.Child("networks"))
	case p.domainNames != nil:
		return r.domainNames(to, p.domainNames, path.Child("domainNames"))
	case p.nodes != nil:
		nodes, errs := syntax.Selector(p.nodes, path.Child("nodes"))
		to.Peers = append(to.Peers, policy.Peer{Nodes: &policy.NodeSelector{Nodes: nodes}})
		return len(errs) == 0 || r.fail(errs...)
	}
	chosen, ok := r.pods(p, path)
	to.Peers = append(to.Peers, policy.Peer{Pods: chosen})
	return ok
}

func (p peer) given() []string {
	var given []string
	for _, f := range []struct {
		name  string
		given bool
	}{
		{"namespaces", p.namespaces != nil}, {"pods", p.pods != nil}, {"nodes", p.nodes != nil},
		{"networks", p.networks != nil}, {"domainNames", p.domainNames != nil},
	} {
		if f.given {
			given = append(given, f.name)
		}
	}
	return given
}

// pods reads a subject, or a peer that is pods.
func (r *reader) pods(p peer, path *field.Path) (*policy.PodSelector, bool) {
	if p.pods == nil {
		namespaces, errs := syntax.Selector(p.namespaces, path.Child("namespaces"))
		r.fail(errs...)
		return &policy.PodSelector{Namespaces: namespaces}, len(errs) == 0
	}
	path = path.Child("pods")
	namespaces, errs := syntax.Selector(p.pods.namespaces, path.Child("namespaceSelector"))
	pods, more := syntax.Selector(p.pods.pods, path.Child("podSelector"))
	errs = append(errs, more...)
	r.fail(errs...)
	return &policy.PodSelector{Namespaces: namespaces, Pods: pods}, len(errs) == 0
}

func (r *reader) networks(to *policy.Rule, networks []string, path *field.Path) bool {
	ok := r.list(path, networks, "list at least one block, for example 10.0.0.0/8")
	for i, text := range networks {
		prefix, err := syntax.Block(text, path.Index(i))
		if err != nil {
			ok = r.fail(err)
			continue
		}
		to.Peers = append(to.Peers, policy.Peer{CIDR: &policy.CIDR{Prefix: prefix}})
	}
	return ok
}

// domainName is v1alpha2's pattern; that it lets a label begin with an
// underscore looks like an accident, but such names exist.
var domainName = regexp.MustCompile(`^(\*\.)?([a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$`)

func (r *reader) domainNames(to *policy.Rule, names []string, path *field.Path) bool {
	ok := r.list(path, names, "list at least one name, for example www.example.org or *.example.org")
	selector := &policy.NameSelector{Policy: r.ref}
	for i, name := range names {
		if !domainName.MatchString(name) {
			ok = r.fail(field.Invalid(path.Index(i), name, "must be a domain name of two labels or more; * may only be the first label"))
			continue
		}
		read, err := l7.DomainName(name)
		if err != nil {
			ok = r.fail(field.Invalid(path.Index(i), name, err.Error()))
			continue
		}
		selector.Names = append(selector.Names, read)
	}
	if to.Action != policy.Allow {
		return r.fail(field.Forbidden(path, "is for rules that accept only: the names' other addresses would be let through"))
	}
	to.Peers = append(to.Peers, policy.Peer{Names: selector})
	return ok
}

// list checks what the API's sets have in common.
func (r *reader) list(path *field.Path, items []string, empty string) bool {
	if len(items) == 0 {
		return r.fail(field.Required(path, empty))
	}
	r.atMost(path, len(items), mostNetworks)
	for i, item := range items {
		if slices.Index(items, item) < i {
			r.fail(field.Duplicate(path.Index(i), item))
		}
	}
	return true
}
