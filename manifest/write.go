package manifest

import (
	"encoding/json"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Write writes the bundle's objects, as far as network policy needs them, in a
// form that Load reads: with the same options, and with the bundle's own
// snapshot to keep, to the same bundle.
func (b *Bundle) Write(w io.Writer) error {
	list := struct {
		metav1.TypeMeta `json:",inline"`
		Items           []map[string]json.RawMessage `json:"items"`
	}{metav1.TypeMeta{APIVersion: "v1", Kind: "List"}, nil}
	for i := range b.Objects {
		item, err := b.Fields(i)
		if err != nil {
			return err
		}
		list.Items = append(list.Items, item)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(list); err != nil {
		return fmt.Errorf("write objects: %w", err)
	}
	return nil
}

// Fields are what was read of an object, by its number in Objects, as JSON.
func (b *Bundle) Fields(n int) (map[string]json.RawMessage, error) {
	fields, err := b.Objects[n].fields(b.bodies[n])
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", &b.Objects[n], err)
	}
	return fields, nil
}

// fields are those of the object's body, of which the API version and the kind
// are the object's own.
func (o *Object) fields(body metav1.Object) (map[string]json.RawMessage, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"apiVersion": o.APIVersion, "kind": o.Kind} {
		if fields[name], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return fields, nil
}
