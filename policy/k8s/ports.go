package k8s

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

var protocols = map[corev1.Protocol]traffic.Protocol{
	corev1.ProtocolTCP:  traffic.TCP,
	corev1.ProtocolUDP:  traffic.UDP,
	corev1.ProtocolSCTP: traffic.SCTP,
}

func (r *reader) port(port *networkingv1.NetworkPolicyPort, path *field.Path) (policy.Port, bool) {
	protocol, ok := r.protocol(port.Protocol, path.Child("protocol"))
	read := policy.Port{Protocol: protocol}
	switch {
	case port.Port == nil && port.EndPort != nil:
		ok = r.fail(field.Invalid(path.Child("endPort"), *port.EndPort, "may not be specified when `port` is not specified: set port to the first port of the range"))
	case port.Port == nil:
	case port.Port.Type == intstr.Int:
		var inRange bool
		read.From, read.To, inRange = r.numbers(port.Port.IntVal, port.EndPort, path)
		ok = ok && inRange
	default:
		read.Name = port.Port.StrVal
		ok = r.name(port, path) && ok
	}
	return read, ok
}

func (r *reader) protocol(protocol *corev1.Protocol, path *field.Path) (traffic.Protocol, bool) {
	if protocol == nil {
		return traffic.TCP, true
	}
	number, ok := protocols[*protocol]
	if !ok {
		return number, r.fail(field.NotSupported(path, *protocol, []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}))
	}
	return number, true
}

func (r *reader) numbers(port int32, endPort *int32, path *field.Path) (from, to uint16, ok bool) {
	ok = r.number(port, path.Child("port"))
	if endPort == nil {
		return uint16(port), uint16(port), ok
	}
	if path := path.Child("endPort"); !r.number(*endPort, path) {
		ok = false
	} else if *endPort < port {
		ok = r.fail(field.Invalid(path, *endPort, fmt.Sprintf("must be at least port (%d): exchange the two", port)))
	}
	return uint16(port), uint16(*endPort), ok
}

func (r *reader) number(port int32, path *field.Path) bool {
	ok := true
	for _, message := range validation.IsValidPortNum(int(port)) {
		ok = r.fail(field.Invalid(path, port, message))
	}
	return ok
}

func (r *reader) name(port *networkingv1.NetworkPolicyPort, path *field.Path) bool {
	ok := true
	if port.EndPort != nil {
		ok = r.fail(field.Invalid(path.Child("endPort"), *port.EndPort, "may not be specified when `port` is a name: give both as numbers"))
	}
	name := port.Port.StrVal
	if _, err := strconv.Atoi(name); err == nil {
		return r.fail(field.Invalid(path.Child("port"), name, "is a number in quotes, which would be a port's name: remove the quotes"))
	}
	for _, message := range validation.IsValidPortName(name) {
		ok = r.fail(field.Invalid(path.Child("port"), name, message))
	}
	return ok
}
