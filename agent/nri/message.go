package nri

import (
	"fmt"
	"net/netip"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields that are written and read, by the numbers of pkg/api/api.proto of
// NRI and request.proto of ttrpc.
const (
	fieldService = 1 // of a ttrpc request
	fieldMethod  = 2
	fieldPayload = 3

	fieldStatus = 1 // of a ttrpc response
	fieldResult = 2

	fieldCode = 1 // of a status
	fieldText = 2

	fieldPluginName  = 1 // of RegisterPluginRequest
	fieldPluginIndex = 2

	fieldRuntime = 2 // of ConfigureRequest
	fieldVersion = 3

	fieldEvents = 2 // of ConfigureResponse

	fieldPods         = 1 // of SynchronizeRequest
	fieldMore         = 3
	fieldAcceptedMore = 2 // of SynchronizeResponse

	fieldRequestPod = 1 // of RunPodSandboxRequest and its like
	fieldEvent      = 1 // of StateChangeEvent
	fieldEventPod   = 2

	fieldPodName      = 2 // of PodSandbox
	fieldPodNamespace = 4
	fieldPodAddrs     = 10
)

// Events by their numbers in api.proto.
const (
	eventRunPod    = 1
	eventStopPod   = 2
	eventRemovePod = 3
)

// codeUnimplemented is that of gRPC.
const codeUnimplemented = 12

func registration() []byte {
	body := text(nil, fieldPluginName, pluginName)
	body = text(body, fieldPluginIndex, pluginIndex)
	b := text(nil, fieldService, "nri.pkg.api.v1alpha1.Runtime")
	b = text(b, fieldMethod, "RegisterPlugin")
	return text(b, fieldPayload, string(body))
}

// subscription asks for the starts and ends of pods. An event's bit is one less
// than its number.
func subscription() []byte {
	mask := uint64(0)
	for _, event := range []int{eventRunPod, eventStopPod, eventRemovePod} {
		mask |= 1 << (event - 1)
	}
	return number(nil, fieldEvents, mask)
}

// synchronized says that more may come, where more is announced.
func synchronized(more bool) []byte {
	if !more {
		return nil
	}
	return number(nil, fieldAcceptedMore, 1)
}

func response(result []byte) []byte { return text(nil, fieldResult, string(result)) }

func unimplemented(method string) []byte {
	status := number(nil, fieldCode, codeUnimplemented)
	status = text(status, fieldText, "method "+method+" is not implemented")
	return text(nil, fieldStatus, string(status))
}

// request is a call's method and what comes with it.
func request(body []byte) (method string, payload []byte) {
	each(body, func(field protowire.Number, value []byte, _ uint64) {
		switch field {
		case fieldMethod:
			method = string(value)
		case fieldPayload:
			payload = value
		}
	})
	return method, payload
}

// failure is why a call failed; empty: it did not.
func failure(body []byte) (why string) {
	each(body, func(field protowire.Number, status []byte, _ uint64) {
		if field != fieldStatus {
			return
		}
		var code uint64
		var message string
		each(status, func(field protowire.Number, value []byte, n uint64) {
			switch field {
			case fieldCode:
				code = n
			case fieldText:
				message = string(value)
			}
		})
		if code != 0 {
			why = fmt.Sprintf("%s (code %d)", message, code)
		}
	})
	return why
}

func runtimeOf(payload []byte) (name, version string) {
	each(payload, func(field protowire.Number, value []byte, _ uint64) {
		switch field {
		case fieldRuntime:
			name = string(value)
		case fieldVersion:
			version = string(value)
		}
	})
	return name, version
}

func podsOf(payload []byte) (pods []Pod, more bool) {
	each(payload, func(field protowire.Number, value []byte, n uint64) {
		switch field {
		case fieldPods:
			pods = append(pods, podOf(value))
		case fieldMore:
			more = n != 0
		}
	})
	return pods, more
}

func podIn(payload []byte, in protowire.Number) (pod Pod) {
	each(payload, func(field protowire.Number, value []byte, _ uint64) {
		if field == in {
			pod = podOf(value)
		}
	})
	return pod
}

func eventOf(payload []byte) (event uint64) {
	each(payload, func(field protowire.Number, _ []byte, n uint64) {
		if field == fieldEvent {
			event = n
		}
	})
	return event
}

// podOf leaves out what is not an address.
func podOf(b []byte) (pod Pod) {
	each(b, func(field protowire.Number, value []byte, _ uint64) {
		switch field {
		case fieldPodName:
			pod.Name = string(value)
		case fieldPodNamespace:
			pod.Namespace = string(value)
		case fieldPodAddrs:
			if addr, err := netip.ParseAddr(string(value)); err == nil {
				pod.Addrs = append(pod.Addrs, addr.Unmap().WithZone(""))
			}
		}
	})
	return pod
}

func text(b []byte, field protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), value)
}

func number(b []byte, field protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), value)
}

// each visits a message's fields, those of other kinds than bytes and numbers
// without a value. It ends where the message is not one.
func each(b []byte, visit func(field protowire.Number, value []byte, n uint64)) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		var value []byte
		var number uint64
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(field, kind, b)
		}
		if n < 0 {
			return
		}
		visit(field, value, number)
		b = b[n:]
	}
}
