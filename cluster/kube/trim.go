package kube

import (
	"bytes"
	"encoding/binary"
	"errors"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Most of a pod is of no use here: who wrote which field, volumes, environments,
// probes, how each container is. To leave it out of the message is far cheaper
// than to decode it for the garbage collector.

// kept are the fields of a protobuf message that are kept, by number; nil keeps
// all of a field.
type kept map[uint64]kept

// podFields are those that k8s.Pod and a follower read, from the generated.proto
// of k8s.io/api/core/v1 and k8s.io/apimachinery/pkg/apis/meta/v1.
var podFields = kept{
	1: {1: nil, 3: nil, 5: nil, 6: nil, 7: nil, 11: nil, 12: nil, 13: nil}, // metadata: names, UID, version, generation, labels, annotations, owners
	2: {2: containerFields, 20: containerFields, 8: nil, 10: nil, 11: nil}, // spec: containers, account, node, host network
	3: {1: nil, 6: nil, 12: nil},                                           // status: phase and addresses
}

var containerFields = kept{1: nil, 6: nil, 24: nil} // name, ports, restart policy

// envelope is the message around an object, of k8s.io/apimachinery/pkg/runtime.
func envelope(object kept) kept { return kept{1: nil, 2: object, 3: nil, 4: nil} }

var (
	magic    = []byte("k8s\x00")
	errShort = errors.New("protobuf message ends early")
)

// trimming is a decoder that sees only some fields of the objects of a kind.
type trimming struct {
	runtime.Decoder
	kind   string
	fields kept
}

// Decode leaves alone what it cannot trim: the decoder knows what is wrong.
func (t trimming) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if body, ok := bytes.CutPrefix(data, magic); ok && kindIn(body) == t.kind {
		trimmed := append(make([]byte, 0, len(data)/2), magic...)
		if trimmed, err := envelope(t.fields).trim(trimmed, body); err == nil {
			data = trimmed
		}
	}
	return t.Decoder.Decode(data, defaults, into)
}

// kindIn is the kind that an envelope names.
func kindIn(body []byte) string {
	const typeMeta, kind = 1, 2
	return string(fieldOf(fieldOf(body, typeMeta), kind))
}

// fieldOf is the content of a field of bytes.
func fieldOf(message []byte, number uint64) []byte {
	for len(message) > 0 {
		f, rest, err := nextField(message)
		if err != nil {
			return nil
		}
		if f.number == number {
			return f.content
		}
		message = rest
	}
	return nil
}

// trim appends what is kept of a message.
func (k kept) trim(to, message []byte) ([]byte, error) {
	for len(message) > 0 {
		f, rest, err := nextField(message)
		if err != nil {
			return nil, err
		}
		within, keep := k[f.number]
		switch {
		case !keep:
		case within == nil:
			to = append(to, message[:len(message)-len(rest)]...)
		case f.content == nil:
			return nil, errors.New("protobuf field is no message")
		default:
			inner, err := within.trim(nil, f.content)
			if err != nil {
				return nil, err
			}
			to = append(to, f.key...)
			to = binary.AppendUvarint(to, uint64(len(inner)))
			to = append(to, inner...)
		}
		message = rest
	}
	return to, nil
}

// wireField is one field as it is on the wire.
type wireField struct {
	number  uint64
	key     []byte
	content []byte // of a field of bytes; nil: it is none
}

// nextField reads a message's first field (protobuf.dev, "Encoding").
func nextField(message []byte) (f wireField, rest []byte, err error) {
	const varint, fixed64, lengthDelimited, fixed32 = 0, 1, 2, 5
	key, n := binary.Uvarint(message)
	if n <= 0 {
		return f, nil, errShort
	}
	f.number, f.key, rest = key>>3, message[:n], message[n:]
	size := uint64(0)
	switch key & 7 {
	case varint:
		_, n := binary.Uvarint(rest)
		if n <= 0 {
			return f, nil, errShort
		}
		size = uint64(n)
	case fixed64:
		size = 8
	case fixed32:
		size = 4
	case lengthDelimited:
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return f, nil, errShort
		}
		f.content = rest[n : uint64(n)+length : uint64(n)+length] // not nil, though empty
		size = uint64(n) + length
	default:
		return f, nil, errors.New("protobuf field of unknown type")
	}
	if size > uint64(len(rest)) {
		return f, nil, errShort
	}
	return f, rest[size:], nil
}
