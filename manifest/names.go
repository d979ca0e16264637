package manifest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// corednsNamespace and corednsConfigs are where clusters keep what CoreDNS is
// told: kubeadm's own configuration, and AKS's and k3s's additions to it.
const corednsNamespace = "kube-system"

var corednsConfigs = []string{"coredns", "coredns-custom"}

// addNames reads the names outside the cluster that CoreDNS was told of with its
// hosts plugin, and learns for the policies what these names mean.
//
// https://coredns.io/plugins/hosts/
func (b *builder) addNames() {
	for _, o := range b.of("ConfigMap") {
		if o.Namespace != corednsNamespace || !slices.Contains(corednsConfigs, o.Name) {
			continue
		}
		data := o.body.(*corev1.ConfigMap).Data
		for _, key := range slices.Sorted(maps.Keys(data)) {
			if err := b.addHosts(data[key], field.NewPath("data").Key(key)); err != nil {
				b.failFields(o, "", field.ErrorList{err})
			}
		}
	}
	learned := b.bundle.Policies.Learned
	for _, p := range b.bundle.Policies.Policies {
		for _, s := range p.NameSelectors() {
			learned[s.String()] = b.addressesOf(s)
		}
	}
}

// addHosts reads the hosts blocks of a CoreDNS configuration.
func (b *builder) addHosts(config string, path *field.Path) *field.Error {
	inside := false
	for n, line := range strings.Split(config, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case !inside:
			inside = words[0] == "hosts" && words[len(words)-1] == "{"
		case words[0] == "}":
			inside = false
		default:
			if err := b.addHost(words); err != nil {
				return field.Invalid(path, line, fmt.Sprintf("line %d: %v", n+1, err))
			}
		}
	}
	return nil
}

// addHost reads a line of a hosts block. Lines that do not begin with an address
// are options of the plugin.
func (b *builder) addHost(words []string) error {
	addr, err := netip.ParseAddr(words[0])
	if err != nil && strings.ContainsAny(words[0], ".:") {
		return fmt.Errorf("%q is not an address: write for example 203.0.113.7 www.example.org", words[0])
	}
	if err != nil {
		return nil
	}
	for _, name := range words[1:] {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if known := b.bundle.Snapshot.Names; !slices.Contains(known[name], addr) {
			known[name] = append(known[name], addr)
		}
	}
	return nil
}

// addressesOf are the addresses of the names that a selector picks, sorted.
func (b *builder) addressesOf(s *policy.NameSelector) []netip.Addr {
	var addrs []netip.Addr
	for name, all := range b.bundle.Snapshot.Names {
		if s.Match(name) {
			addrs = append(addrs, all...)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}
