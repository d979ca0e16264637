package document

import "strings"

// Fields are the names of struct fields, each with those below it. An empty
// Fields stands for everything below.
type Fields map[string]Fields

// FieldsOf reads paths such as "spec.containers.ports"; lists need no mention.
func FieldsOf(paths ...string) Fields {
	all := Fields{}
	for _, path := range paths {
		at := all
		for name := range strings.SplitSeq(path, ".") {
			if at[name] == nil {
				at[name] = Fields{}
			}
			at = at[name]
		}
	}
	return all
}
