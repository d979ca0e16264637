package main

import (
	"bytes"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

func TestWorldHasWhatItsSizeSays(t *testing.T) {
	for _, s := range []size{sizeOf(1_000, 50), sizeOf(10_000, 250), {pods: 200, namespaces: 20, policies: 100, local: 50}} {
		w := newWorld(s)
		keys, addresses, kinds, namespaces := map[string]bool{}, map[string]bool{}, map[string]int{}, map[string]bool{}
		local := 0
		err := w.each(func(key string, object runtime.Object) error {
			if keys[key] {
				t.Errorf("%s: %s comes twice", s, key)
			}
			keys[key] = true
			switch o := object.(type) {
			case *corev1.Pod:
				kinds["pods"]++
				addresses[o.Status.PodIP] = true
				if o.Spec.NodeName == thisNode {
					local++
					namespaces[o.Namespace] = true
				}
			case *corev1.Namespace:
				kinds["namespaces"]++
			case *corev1.Node:
			default:
				kinds["policies"]++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if kinds["pods"] != s.pods || kinds["namespaces"] != s.namespaces || kinds["policies"] != s.policies || local != s.local {
			t.Errorf("%s: %v, %d pods of the node", s, kinds, local)
		}
		if len(addresses) != s.pods {
			t.Errorf("%s: %d addresses", s, len(addresses))
		}
		for n := range s.local {
			delete(namespaces, namespaceName(w.localNamespace(n)))
		}
		if len(namespaces) > 0 {
			t.Errorf("%s: the node's pods are also in %v", s, namespaces)
		}
	}
}

// TestStoredObjectsComeBack as the API server reads them.
func TestStoredObjectsComeBack(t *testing.T) {
	w := newWorld(sizeOf(1_000, 50))
	for _, object := range []runtime.Object{w.pod(7), w.namespace(7), w.node(1), w.policy(3), w.policy(70)} {
		value, err := stored(object)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(value, []byte("k8s\x00")) {
			t.Errorf("%T is not stored as protobuf", object)
		}
		got, _, err := scheme.Codecs.UniversalDeserializer().Decode(value, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		got.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
		if !equality.Semantic.DeepEqual(got, object) {
			t.Errorf("%T comes back as\n%v\nnot\n%v", object, got, object)
		}
	}
}
