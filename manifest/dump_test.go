package manifest

import (
	_ "embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed testdata/pod.yaml.tmpl
var podTemplateText string

var podOfDump = template.Must(template.New("pod").Parse(podTemplateText))

// dump is what kubectl prints of so many pods; part numbers the files of one
// cluster.
func dump(part, count int) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nitems:\n")
	for i := range count {
		n := part*count + i
		err := podOfDump.Execute(&b, map[string]any{
			"Hash": fmt.Sprintf("%05x", n), "App": n % 100, "Node": n%100 + 1,
			"IP": fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255),
		})
		if err != nil {
			panic(err) // the template is this test's own
		}
	}
	b.WriteString("kind: List\nmetadata:\n  resourceVersion: \"\"\n")
	return b.String()
}
