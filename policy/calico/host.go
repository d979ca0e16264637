package calico

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// openProfile is the profile that Calico makes for host endpoints which are to
// stay open where no policy decides.
const openProfile = "projectcalico-default-allow"

// ReadHost turns a HostEndpoint into the host that policies protect. Its errors
// are those of ReadHostEndpoint and what is wrong besides; with errors it lacks
// what is not understood. Its Source is for the caller to set.
func ReadHost(object *HostEndpoint) (*policy.Host, []policy.Gap, field.ErrorList) {
	addresses, errs := ReadHostEndpoint(object)
	spec, path := &object.Spec, field.NewPath("spec")
	h := &policy.Host{
		Ref: addresses.Ref, Node: spec.Node, Device: spec.InterfaceName, Labels: object.Labels,
		Open: slices.Contains(spec.Profiles, openProfile),
	}
	for _, text := range spec.ExpectedIPs {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
			h.Addrs = append(h.Addrs, addr.Unmap())
		}
	}
	for i := range spec.Ports {
		port, err := endpointPort(&spec.Ports[i], path.Child("ports").Index(i))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		h.Ports = append(h.Ports, port)
	}
	var gaps []policy.Gap
	for i, name := range spec.Profiles {
		if name != openProfile {
			gaps = append(gaps, policy.Gap{
				Field: path.Child("profiles").Index(i).String(), Reason: fmt.Sprintf("profile %s is not known: what no policy allows stays denied", name),
			})
		}
	}
	return h, gaps, errs
}

func endpointPort(p *EndpointPort, path *field.Path) (cluster.Port, *field.Error) {
	protocol := protocolOf(&p.Protocol)
	switch {
	case p.Name == "":
		return cluster.Port{}, field.Required(path.Child("name"), "give the port a name")
	case !protocol.HasPorts() || protocol == traffic.AnyProtocol:
		return cluster.Port{}, field.NotSupported(path.Child("protocol"), p.Protocol.String(), []string{"TCP", "UDP", "SCTP"})
	case p.Port == 0:
		return cluster.Port{}, field.Required(path.Child("port"), "give a number from 1 to 65535")
	}
	return cluster.Port{Name: p.Name, Protocol: protocol, Number: p.Port}, nil
}
