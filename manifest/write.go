package manifest

import (
	"encoding/json"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Write writes the bundle's objects, as far as network policy needs them, in a
// form that Load reads: with the same options, and with the bundle's own
// snapshot to keep, to the same bundle.
func (b *Bundle) Write(w io.Writer) error {
	list := struct {
		metav1.TypeMeta `json:",inline"`
		Items           []metav1.Object `json:"items"`
	}{metav1.TypeMeta{APIVersion: "v1", Kind: "List"}, nil}
	for i, o := range b.Objects {
		body, ok := b.bodies[i].(runtime.Object)
		if !ok {
			return fmt.Errorf("write %s: not an API object", &o)
		}
		body = body.DeepCopyObject() // the bundle stays as it is
		body.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(o.APIVersion, o.Kind))
		list.Items = append(list.Items, body.(metav1.Object))
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(list); err != nil {
		return fmt.Errorf("write objects: %w", err)
	}
	return nil
}
