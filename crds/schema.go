package crds

import (
	"fmt"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// maker makes structural schemas of Go types.
type maker struct {
	keep bool // fields that the types do not have
}

var (
	requirement = reflect.TypeFor[metav1.LabelSelectorRequirement]()
	intOrString = reflect.TypeFor[intstr.IntOrString]()
	moment      = reflect.TypeFor[metav1.Time]()
)

// schema panics for types that no API has; a test makes all.
func (m maker) schema(t reflect.Type) map[string]any {
	switch t {
	case intOrString:
		return map[string]any{"x-kubernetes-int-or-string": true}
	case moment:
		return map[string]any{"type": "string", "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return m.schema(t.Elem())
	case reflect.Struct:
		properties := map[string]any{}
		m.fields(t, properties)
		s := map[string]any{"type": "object", "properties": properties}
		if t == requirement {
			s["required"] = []any{"key", "operator"}
		}
		if m.keep {
			s["x-kubernetes-preserve-unknown-fields"] = true
		}
		return s
	case reflect.Slice:
		return map[string]any{"type": "array", "items": m.schema(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": m.schema(t.Elem())}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int32, reflect.Uint8, reflect.Uint16:
		return map[string]any{"type": "integer", "format": "int32"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer", "format": "int64"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	}
	panic(fmt.Sprintf("schema of %s", t))
}

func (m maker) fields(t reflect.Type, into map[string]any) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Type == reflect.TypeFor[metav1.ObjectMeta](): // the API server's
		case name == "" && (f.Anonymous || strings.Contains(options, "inline")):
			m.fields(f.Type, into)
		case name != "" && name != "-":
			into[name] = m.schema(f.Type)
		}
	}
}

// anything is an object with any fields.
func (m maker) anything() map[string]any {
	return map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
}
