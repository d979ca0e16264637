package document

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Decode fills the struct that target points to, by its json tags and with
// names compared exactly, as the API server does. Every field that is unknown or
// does not fit is a Problem; the others are filled all the same.
func Decode(n *Node, target any) []Problem {
	d := &decoder{strict: true}
	d.value(n, reflect.ValueOf(target).Elem(), nil, nil)
	return d.problems
}

// DecodeFields is like Decode for some of the fields. All others are not looked
// at, whether the target has them or not.
func DecodeFields(n *Node, target any, fields Fields) []Problem {
	d := &decoder{}
	d.value(n, reflect.ValueOf(target).Elem(), fields, nil)
	return d.problems
}

type decoder struct {
	strict   bool
	problems []Problem
}

// place is where the decoder is: a step below its parent.
type place struct {
	parent *place
	name   string       // of a field or map key
	index  int          // of a list's item, where name is empty
	typ    reflect.Type // of the struct that has the field, nil elsewhere
	line   int          // of the field's name; zero for an item
}

func (p *place) String() string {
	if p == nil {
		return ""
	}
	path := p.parent.String()
	switch {
	case p.name == "":
		return path + "[" + strconv.Itoa(p.index) + "]"
	case p.typ == nil:
		return path + "[" + p.name + "]"
	case path == "":
		return p.name
	}
	return path + "." + p.name
}

func (d *decoder) problem(n *Node, at *place, format string, args ...any) {
	line := n.Line
	if at != nil && at.line != 0 {
		line = at.line
	}
	d.problems = append(d.problems, Problem{Line: line, Path: at.String(), Message: fmt.Sprintf(format, args...)})
}

func (d *decoder) value(n *Node, v reflect.Value, wanted Fields, at *place) {
	if n.Kind == Null {
		return // as in JSON: no value, no change
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	if u, ok := v.Addr().Interface().(json.Unmarshaler); ok {
		d.unmarshal(n, u, at)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.fields(n, v, wanted, at)
	case reflect.Slice:
		d.items(n, v, wanted, at)
	case reflect.Map:
		d.entries(n, v, wanted, at)
	default:
		d.scalar(n, v, at)
	}
}

// unmarshal fills the API's own scalar types. The only structured one,
// managedFields' record of who wrote what, is of no use here and left empty.
func (d *decoder) unmarshal(n *Node, u json.Unmarshaler, at *place) {
	if _, ok := u.(*metav1.FieldsV1); ok {
		return
	}
	var text []byte
	switch n.Kind {
	case String:
		text, _ = json.Marshal(n.Value) // cannot fail for a string
	case Bool, Number:
		text = []byte(n.Value)
	}
	if text == nil || u.UnmarshalJSON(text) != nil {
		d.problem(n, at, "must be %s, is %s", expected(u), n)
	}
}

func expected(u json.Unmarshaler) string {
	switch u.(type) {
	case *intstr.IntOrString:
		return "a whole number or a name"
	case *metav1.Time, *metav1.MicroTime:
		return "a time such as 2006-01-02T15:04:05Z"
	}
	return fmt.Sprintf("a value of type %T", u)
}

func (d *decoder) items(n *Node, v reflect.Value, wanted Fields, at *place) {
	if n.Kind != List {
		d.problem(n, at, "must be a list, is %s: start the entry with a dash", n)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items)))
	for i, item := range n.Items {
		d.value(item, v.Index(i), wanted, &place{parent: at, index: i})
	}
}

func (d *decoder) entries(n *Node, v reflect.Value, wanted Fields, at *place) {
	if n.Kind != Map {
		d.problem(n, at, "must be a map, is %s: write it as name: value", n)
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Fields)))
	for _, f := range n.Fields {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(f.Value, element, wanted, &place{parent: at, name: f.Name, line: f.Line})
		v.SetMapIndex(reflect.ValueOf(f.Name).Convert(v.Type().Key()), element)
	}
}

func (d *decoder) fields(n *Node, v reflect.Value, wanted Fields, at *place) {
	if n.Kind != Map {
		d.problem(n, at, "must be a map, is %s", n)
		return
	}
	l := layoutOf(v.Type())
	for _, f := range n.Fields {
		below, ok := wanted[f.Name]
		if len(wanted) > 0 && !ok {
			continue
		}
		index, ok := l.fields[f.Name]
		if ok {
			d.value(f.Value, v.FieldByIndex(index), below, &place{parent: at, name: f.Name, typ: v.Type(), line: f.Line})
		} else if d.strict {
			d.problem(n, &place{parent: at, name: f.Name, typ: v.Type(), line: f.Line}, "unknown field%s", suggest(f.Name, v.Type(), at))
		}
	}
}

func (d *decoder) scalar(n *Node, v reflect.Value, at *place) {
	switch v.Kind() {
	case reflect.String:
		if n.Kind != String {
			d.problem(n, at, "must be a string, is %s%s", n, hint(n, "put it in quotes", Bool, Number))
			return
		}
		v.SetString(n.Value)
	case reflect.Bool:
		if n.Kind != Bool {
			d.problem(n, at, "must be true or false, is %s%s", n, hint(n, "remove the quotes", String))
			return
		}
		v.SetBool(n.Value == "true")
	case reflect.Int, reflect.Int32, reflect.Int64:
		number, ok := integer(n)
		if !ok || v.OverflowInt(number) {
			d.problem(n, at, "must be a whole number of %d bits, is %s%s", v.Type().Bits(), n, hint(n, "remove the quotes", String))
			return
		}
		v.SetInt(number)
	case reflect.Uint16:
		number, ok := integer(n)
		if !ok || number < 0 || v.OverflowUint(uint64(number)) {
			d.problem(n, at, "must be a whole number from 0 to 65535, is %s%s", n, hint(n, "remove the quotes", String))
			return
		}
		v.SetUint(uint64(number))
	case reflect.Float64:
		number, err := strconv.ParseFloat(n.Value, 64)
		if n.Kind != Number || err != nil || math.IsNaN(number) || math.IsInf(number, 0) { // YAML knows both, JSON neither
			d.problem(n, at, "must be a number, is %s%s", n, hint(n, "remove the quotes", String))
			return
		}
		v.SetFloat(number)
	default:
		d.problem(n, at, "cannot be read as %s", v.Type())
	}
}

// hint is advice for nodes of some kinds.
func hint(n *Node, advice string, kinds ...Kind) string {
	if !slices.Contains(kinds, n.Kind) {
		return ""
	}
	return ": " + advice
}

func integer(n *Node) (int64, bool) {
	if n.Kind != Number {
		return 0, false
	}
	number, err := strconv.ParseInt(n.Value, 10, 64)
	return number, err == nil
}
