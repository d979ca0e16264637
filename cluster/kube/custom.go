package kube

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Custom is an object of a resource that a CustomResourceDefinition makes: its
// metadata is decoded, the rest is for who knows its type. It is valid while a
// Follow's read function runs.
type Custom struct {
	metav1.PartialObjectMetadata
	JSON []byte // the whole object
}

// DeepCopyObject is runtime.Object.
func (c *Custom) DeepCopyObject() runtime.Object {
	return &Custom{PartialObjectMetadata: *c.PartialObjectMetadata.DeepCopy(), JSON: append([]byte(nil), c.JSON...)}
}

// customResource is a resource that a definition makes.
func (c *Client) customResource(version schema.GroupVersion, kind, resource string) Resource {
	return Resource{
		Kind: kind, client: c.custom, name: resource, fields: fields.Everything(),
		path: "/apis/" + version.String() + "/" + resource, accept: runtime.ContentTypeJSON,
	}
}

// definitions are the metadata of all CustomResourceDefinitions: their schemas
// are large, and their names say which resources they define.
func (c *Client) definitions() Resource {
	const only = runtime.ContentTypeJSON + ";g=meta.k8s.io;v=v1;as=PartialObjectMetadata"
	return Resource{
		Kind: "CustomResourceDefinition", client: c.custom, name: "customresourcedefinitions", fields: fields.Everything(),
		path: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", accept: only, acceptList: only + "List",
	}
}

func (r Resource) listJSON(ctx context.Context, options *metav1.ListOptions, each func(metav1.Object)) (metav1.ListInterface, error) {
	request := r.request(options)
	if r.acceptList != "" {
		request.SetHeader("Accept", r.acceptList)
	}
	body, err := request.Do(ctx).Raw()
	if err != nil {
		return nil, err
	}
	var list struct {
		metav1.ListMeta `json:"metadata"`
		Items           []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("decode list: %w", err)
	}
	for _, item := range list.Items {
		object, err := decodeCustom(item)
		if err != nil {
			return nil, err
		}
		each(object)
	}
	return &list.ListMeta, nil
}

func decodeCustom(data []byte) (*Custom, error) {
	object := &Custom{JSON: data}
	if err := json.Unmarshal(data, &object.PartialObjectMetadata); err != nil {
		return nil, fmt.Errorf("decode metadata: %w", err)
	}
	return object, nil
}

// customDecoder decodes what a stream of custom objects has in it.
type customDecoder struct{}

// Decode is runtime.Decoder.
func (customDecoder) Decode(data []byte, _ *schema.GroupVersionKind, _ runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	object, err := decodeCustom(data)
	if err != nil {
		return nil, nil, err
	}
	kind := object.GroupVersionKind()
	if kind == metav1.SchemeGroupVersion.WithKind("Status") || object.Kind == "Status" && object.APIVersion == "v1" {
		status := &metav1.Status{}
		if err := json.Unmarshal(data, status); err != nil {
			return nil, nil, fmt.Errorf("decode status: %w", err)
		}
		return status, &kind, nil
	}
	return object, &kind, nil
}
