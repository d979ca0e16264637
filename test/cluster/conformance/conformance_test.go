package conformance

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func specs(passed, failed int) []Spec {
	var all []Spec
	for range passed {
		all = append(all, Spec{Name: "good", Passed: true})
	}
	for range failed {
		all = append(all, Spec{Name: "bad"})
	}
	return all
}

var bulkhead = Engine{Name: "Bulkhead", Version: "v1", Command: []string{"/somewhere/bulkhead", "agent"}}

func TestErr(t *testing.T) {
	for _, c := range []struct {
		engine         Engine
		passed, failed int
		want           string // "" is no error
	}{
		{bulkhead, 50, 0, ""},
		{bulkhead, 49, 1, "1 of 50 specs failed"},
		{bulkhead, 0, 0, "ran no spec"},
		{Engine{}, 5, 45, ""},
		{Engine{}, 26, 24, "only 24 of 50 specs notice"},
		{Engine{}, 50, 0, "only 0 of 50 specs notice"},
		{Engine{}, 0, 0, "ran no spec"},
	} {
		run := &Run{Suite: "suite", Setup: Setup{Engine: c.engine}, Specs: specs(c.passed, c.failed)}
		err := run.Err()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %d passed, %d failed: %v, not %q", c.engine.Name, c.passed, c.failed, err, c.want)
		}
	}
}

const ginkgoResult = `<testsuites tests="4"><testsuite name="Kubernetes e2e suite">
  <testcase name="[SynchronizedBeforeSuite]" status="passed"></testcase>
  <testcase name="[It] b" status="passed"></testcase>
  <testcase name="[It] a" status="failed"><failure message="no"></failure></testcase>
  <testcase name="[It] c" status="panicked"><error message="oh"></error></testcase>
  <testcase name="[It] d" status="skipped"><skipped></skipped></testcase>
</testsuite></testsuites>`

const cyclonusResult = `<testsuite tests="0" failures="1" time="" name="cyclonus">
    <testcase classname="" name="same" time=""></testcase>
    <testcase classname="" name="same" time=""><failure message="" type=""></failure></testcase>
</testsuite>`

func TestReadJUnit(t *testing.T) {
	for _, c := range []struct {
		suite   Suite
		content string
		want    []Spec
	}{
		{e2e, ginkgoResult, []Spec{{"a", false}, {"b", true}, {"c", false}}},
		{cyclonus, cyclonusResult, []Spec{{"same", true}, {"same (2)", false}}},
	} {
		path := filepath.Join(t.TempDir(), "result.xml")
		if err := os.WriteFile(path, []byte(c.content), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := readJUnit(path, c.suite.keep); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, not %v", c.suite.Name, got, err, c.want)
		}
	}
}

func TestCommandsNameNoFolderOfThisMachine(t *testing.T) {
	for _, suite := range Suites {
		at := place{programs: map[string]string{}, kubeconfig: "/tmp/here/kubeconfig", dir: "/tmp/results", procs: 4}
		for _, name := range suite.programs {
			at.programs[name] = "/cache/" + name
		}
		text := strings.Join(at.readable(suite.command(at)), " ")
		for _, folder := range []string{"/tmp", "/cache"} {
			if strings.Contains(text, folder) {
				t.Errorf("%s: %s", suite.Name, text)
			}
		}
		if !strings.Contains(text, suite.programs[0]) || !strings.Contains(text, "$KUBECONFIG") {
			t.Errorf("%s: %s", suite.Name, text)
		}
	}
}

func TestReport(t *testing.T) {
	dir := t.TempDir()
	save := func(name string, run *Run) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		run.Command = []string{"run", run.Suite}
		if err := run.save(filepath.Join(dir, name, runName)); err != nil {
			t.Fatal(err)
		}
	}
	nft := Setup{Engine: bulkhead, ProxyMode: "nftables", PodNetwork: "routed", Families: "ipv4"}
	iptables, none := nft, nft
	iptables.ProxyMode, none.Engine = "iptables", Engine{}
	save("4", &Run{Suite: cyclonus.Name, Setup: nft, Took: time.Minute, Specs: specs(1, 0)})
	save("3", &Run{Suite: e2e.Name, Setup: iptables, Took: 90 * time.Second, Specs: specs(49, 1)})
	save("2", &Run{Suite: e2e.Name, Setup: none, Took: time.Second, Specs: specs(5, 45)})
	save("1", &Run{Suite: e2e.Name, Setup: nft, Took: 100 * time.Second, Specs: specs(50, 0)})
	runs, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	report := &Report{Runs: runs, Date: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}
	var page strings.Builder
	if err := report.Write(&page); err != nil {
		t.Fatal(err)
	}
	last := 0
	for _, want := range []string{
		"on 2 January 2026;",
		"| Bulkhead | no engine |\n|---|---|---|---|---|---|\n",
		"| Kubernetes e2e Netpol | nftables | routed | ipv4 | 50 of 50 in 1m40s | 5 of 50 in 1s |\n",
		"| Kubernetes e2e Netpol | iptables | routed | ipv4 | 49 of 50 in 1m30s |  |\n",
		"| cyclonus generate | nftables | routed | ipv4 | 1 of 1 in 1m0s |  |\n",
		"Kubernetes e2e Netpol with Bulkhead, kube-proxy iptables, pod network routed, ipv4:\n\n- bad\n",
		"    run Kubernetes e2e Netpol\n",
		"    run cyclonus generate\n",
		"- Bulkhead v1: `bulkhead agent`\n",
		"- Kubernetes v",
		"- Linux ",
	} {
		at := strings.Index(page.String()[last:], want)
		if at < 0 {
			t.Fatalf("no %q after %q in\n%s", want, page.String()[:last], page.String())
		}
		last += at
	}
	if strings.Contains(page.String(), "somewhere") || strings.Contains(page.String(), "With an engine, nothing.") {
		t.Errorf("the page says\n%s", page.String())
	}
	if wrong := report.Err(); len(wrong) != 1 {
		t.Errorf("wrong are %v", wrong)
	}
}
