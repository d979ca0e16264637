// Command render turns the chart into plain manifests, as helm template does, so
// that those who do not use Helm install the same.
//
//	render --namespace kube-system --set uninstall=true ../chart/bulkhead > uninstall.yaml
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/releaseutil"
	"helm.sh/helm/v3/pkg/strvals"
)

const header = `# Made from deploy/chart/bulkhead by "make manifests". Change the chart instead.
`

func main() {
	var r request
	flag.StringVar(&r.release, "release", "bulkhead", "name of the release")
	flag.StringVar(&r.namespace, "namespace", "kube-system", "namespace to install to")
	flag.Func("set", "NAME=VALUE of the chart; may be given several times", func(s string) error {
		r.values = append(r.values, s)
		return nil
	})
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: render [flags] CHART")
		os.Exit(2)
	}
	text, err := r.render(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
	fmt.Print(text)
}

type request struct {
	release, namespace string
	values             []string // as helm's --set takes them
}

// render is the chart's objects in the order in which Helm would install them.
func (r request) render(dir string) (string, error) {
	chart, err := loader.Load(dir)
	if err != nil {
		return "", fmt.Errorf("load chart: %w", err)
	}
	given := map[string]any{}
	for _, v := range r.values {
		if err := strvals.ParseInto(v, given); err != nil {
			return "", fmt.Errorf("read %s: %w", v, err)
		}
	}
	options := chartutil.ReleaseOptions{Name: r.release, Namespace: r.namespace, IsInstall: true, Revision: 1}
	values, err := chartutil.ToRenderValues(chart, given, options, chartutil.DefaultCapabilities)
	if err != nil {
		return "", fmt.Errorf("check values: %w", err)
	}
	files, err := engine.Render(chart, values)
	if err != nil {
		return "", fmt.Errorf("render chart: %w", err)
	}
	for name := range files {
		if filepath.Ext(name) != ".yaml" {
			delete(files, name) // notes and helpers
		}
	}
	_, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return "", fmt.Errorf("sort manifests: %w", err)
	}
	var b strings.Builder
	b.WriteString(header)
	for _, m := range manifests {
		b.WriteString("---\n" + strings.TrimSpace(m.Content) + "\n")
	}
	return b.String(), nil
}
