package conformance

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulkhead-dev/bulkhead/test/cluster/binaries"
)

const policyAPI = "networkpolicyapi.test"

// clusterNetworkPolicy is the suite of the API's own project, with the features of
// both channels.
var clusterNetworkPolicy = Suite{
	Name:     "ClusterNetworkPolicy",
	programs: []string{policyAPI},
	prepare:  define,
	result:   outputName,
	read:     readGoTest,
	Parts:    true,
	command: func(p place) []string {
		return append([]string{"env", "KUBECONFIG=" + p.kubeconfig, p.programs[policyAPI], "-test.v", "-all-features"}, tests(p.part)...)
	},
}

// tests are those of a part. The suite has two halves: the Admin tier, and what
// is not about it alone.
func tests(part Part) []string {
	const all, admin = "^TestConformance$", "^TestConformance$/^CNPAdminTier"
	switch {
	case part.Of < 2:
		return []string{"-test.run=" + all}
	case part.Index == 1:
		return []string{"-test.run=" + admin}
	case part.Index == 2:
		return []string{"-test.run=" + all, "-test.skip=" + admin}
	}
	return []string{"-test.run=^$"} // a run without specs is an error
}

// define installs the definition of the API.
func define(ctx context.Context, p place) error {
	dir, err := binaries.ModuleDir(ctx, policyAPI)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "config", "crd", "experimental", "policy.networking.k8s.io_clusternetworkpolicies.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read definition: %w", err)
	}
	body, err := yaml.ToJSON(text)
	if err != nil {
		return fmt.Errorf("read definition %s: %w", path, err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", p.kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("prepare client: %w", err)
	}
	create := client.RESTClient().Post().AbsPath("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").
		SetHeader("Content-Type", "application/json").Body(body)
	if err := create.Do(ctx).Error(); err != nil {
		return fmt.Errorf("install definition: %w", err)
	}
	return nil
}

// outcome is a line with which "go test -v" ends a test.
var outcome = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+) \(`)

// readGoTest reads what "go test -v" has written: the tests that have none within
// them, sorted by name. The suite takes a feature that is not asked for as a test
// that is skipped, which is an error here.
func readGoTest(path string) ([]Spec, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	passed := map[string]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		m := outcome.FindStringSubmatch(lines.Text())
		if m != nil {
			passed[m[2]] = m[1] == "PASS"
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var specs []Spec
	for name, ok := range passed {
		if !parent(name, passed) {
			specs = append(specs, Spec{Name: strings.TrimPrefix(name, "TestConformance/"), Passed: ok})
		}
	}
	slices.SortFunc(specs, func(a, b Spec) int { return cmp.Compare(a.Name, b.Name) })
	return specs, nil
}

func parent(name string, tests map[string]bool) bool {
	for other := range tests {
		if strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}
