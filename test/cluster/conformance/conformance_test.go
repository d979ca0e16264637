package conformance

import (
	"errors"
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

func save(t *testing.T, dir, name string, run *Run) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
		t.Fatal(err)
	}
	run.Command = []string{"run", run.Suite, "--part=" + run.Part.String()}
	if err := run.save(filepath.Join(dir, name, runName)); err != nil {
		t.Fatal(err)
	}
}

func TestPartsBecomeOneRun(t *testing.T) {
	dir := t.TempDir()
	setup := Setup{Engine: bulkhead, ProxyMode: "nftables", PodNetwork: "routed", Families: "ipv4"}
	part := func(index int, specs ...Spec) *Run {
		return &Run{Suite: cyclonus.Name, Setup: setup, Part: Part{Index: index, Of: 2}, Took: time.Minute, Specs: specs}
	}
	save(t, dir, "b", part(2, Spec{"#2", false}))
	if _, err := Load(dir); !errors.Is(err, ErrIncomplete) {
		t.Errorf("one of two parts is read: %v", err)
	}
	save(t, dir, "a", part(1, Spec{"#1", true}, Spec{"#3", true}))
	runs, err := Load(dir)
	if err != nil || len(runs) != 1 {
		t.Fatalf("read %d runs, %v", len(runs), err)
	}
	if want := []Spec{{"#1", true}, {"#2", false}, {"#3", true}}; !slices.Equal(runs[0].Specs, want) || runs[0].Took != time.Minute {
		t.Errorf("together they are %v in %s, not %v", runs[0].Specs, runs[0].Took, want)
	}
	if want := []string{"run", cyclonus.Name}; !slices.Equal(runs[0].Command, want) {
		t.Errorf("the command is %q, not %q", runs[0].Command, want)
	}
	save(t, dir, "c", part(2))
	if _, err := Load(dir); err == nil {
		t.Error("three parts of two are read")
	}
}

func TestProgressShowsSomeLines(t *testing.T) {
	var file, shown strings.Builder
	p := &progress{prefix: "case ", to: &shown, file: &file}
	text := "begin\ncase 1\nno case 2\ncase 3\ncase"
	for i := range len(text) {
		if _, err := p.Write([]byte(text[i : i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if file.String() != text || shown.String() != "case 1\ncase 3\n" {
		t.Errorf("in the file is %q, shown %q", file.String(), shown.String())
	}
}

func TestShortSpec(t *testing.T) {
	for long, want := range map[string]string{
		"[sig-network] Netpol NetworkPolicy between server and client should deny [Feature:NetworkPolicy] [sig-network, Feature:NetworkPolicy]": "NetworkPolicy between server and client should deny",
		"[sig-network] Netpol [Feature:SCTPConnectivity] [LinuxOnly] NetworkPolicy using SCTP [Feature:NetworkPolicy]":                          "NetworkPolicy using SCTP",
	} {
		if got := shortSpec(long); got != want {
			t.Errorf("%q is short for %q, not %q", got, long, want)
		}
	}
}

func TestReport(t *testing.T) {
	dir := t.TempDir()
	nft := Setup{Engine: bulkhead, ProxyMode: "nftables", PodNetwork: "routed", Families: "ipv4"}
	iptables, none := nft, nft
	iptables.ProxyMode, none.Engine = "iptables", Engine{}
	save(t, dir, "4", &Run{Suite: cyclonus.Name, Setup: nft, Took: time.Minute, Specs: specs(1, 0)})
	save(t, dir, "3", &Run{Suite: e2e.Name, Setup: iptables, Took: 90 * time.Second, Specs: specs(49, 1)})
	save(t, dir, "2", &Run{Suite: e2e.Name, Setup: none, Took: time.Second, Specs: specs(5, 45)})
	save(t, dir, "1", &Run{Suite: e2e.Name, Setup: nft, Took: 100 * time.Second, Specs: specs(50, 0)})
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
		"| bad | 0 of 1 | 0 of 45 |\n",
		"| good | 99 of 99 | 5 of 5 |\n",
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

const goTestOutput = `=== RUN   TestConformance
=== RUN   TestConformance/Admin/allow
--- FAIL: TestConformance (9.00s)
    --- FAIL: TestConformance/Admin (3.00s)
        --- PASS: TestConformance/Admin/allow (1.00s)
        --- FAIL: TestConformance/Admin/deny (2.00s)
    --- SKIP: TestConformance/Nodes (0.00s)
    --- PASS: TestConformance/Whole (1.00s)
FAIL
`

func TestReadGoTest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "output.log")
	if err := os.WriteFile(path, []byte(goTestOutput), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := clusterNetworkPolicy.specs(path)
	want := []Spec{{"Admin/allow", true}, {"Admin/deny", false}, {"Nodes", false}, {"Whole", true}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, not %v", got, err, want)
	}
}

// The two halves are all there is, and one command runs both.
func TestPartsOfClusterNetworkPolicy(t *testing.T) {
	for _, row := range []struct {
		part Part
		want string
	}{
		{Part{}, "-test.run=^TestConformance$"},
		{Part{1, 1}, "-test.run=^TestConformance$"},
		{Part{1, 2}, "-test.run=^TestConformance$/^CNPAdminTier"},
		{Part{2, 2}, "-test.run=^TestConformance$ -test.skip=^TestConformance$/^CNPAdminTier"},
		{Part{3, 3}, "-test.run=^$"},
	} {
		if got := strings.Join(tests(row.part), " "); got != row.want {
			t.Errorf("%s: %s, want %s", row.part, got, row.want)
		}
	}
	if got := withoutPart([]string{"suite", "-test.run=^A$", "-test.skip=^B$", "-all-features"}); !slices.Equal(got, []string{"suite", "-all-features"}) {
		t.Errorf("without its part the command is %q", got)
	}
}

func TestReportOfClusterNetworkPolicy(t *testing.T) {
	setup := Setup{Engine: bulkhead, ProxyMode: "nftables", PodNetwork: "routed", Families: "ipv4"}
	report := &Report{Runs: []*Run{{Suite: clusterNetworkPolicy.Name, Setup: setup, Took: time.Minute, Specs: specs(40, 0)}}}
	var page strings.Builder
	if err := report.Write(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# Conformance to ClusterNetworkPolicy\n", "| ClusterNetworkPolicy | nftables | routed | ipv4 | 40 of 40 in 1m0s |\n",
		"With an engine, nothing.", "| good | 40 of 40 |\n", "- network-policy-api v0.2.0\n",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in\n%s", want, page.String())
		}
	}
	if strings.Contains(page.String(), "ginkgo") || strings.Contains(page.String(), "cyclonus v") {
		t.Errorf("it names programs that were not run:\n%s", page.String())
	}
}
