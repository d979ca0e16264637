package doctor

import (
	"bytes"
	"context"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/printer"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

// apart runs a function in a network namespace of its own.
func apart(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, command string) {
	if out, err := exec.Command("sh", "-ec", command).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", command, err, out)
	}
}

func enforce(t *testing.T) {
	d, err := nft.New(nft.Options{})
	if err != nil {
		t.Error(err)
		return
	}
	if err := d.Apply(context.Background(), plan.New("n1")); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestNode(t *testing.T) {
	const bridge = "ip link add br0 type bridge; ip link add v0 type veth peer name v1; ip link set v0 master br0;"
	for _, test := range []struct {
		name  string
		setup func()
		want  []string // "grade check: part of the text"
	}{
		{"bare", func() {}, []string{
			"fine nftables: takes Bulkhead's table", "note Bulkhead: is not in force", "fine other engines: none",
			"bad enforcement: nobody enforces", "fine bridge: ", "fine ipvs: ", "fine conntrack: ",
		}},
		{"ours", func() { enforce(t) }, []string{"fine Bulkhead: is in force for node n1"}},
		{"ours, broken", func() {
			enforce(t)
			run(t, "nft delete table inet bulkhead; nft add table inet bulkhead; nft 'add map inet bulkhead egress4 { type ipv4_addr : classid; }'; nft add element inet bulkhead egress4 '{ 10.0.0.1 : 1:1 }'")
		},
			[]string{"bad Bulkhead: not as it should be"}},
		{"Calico", func() { run(t, "iptables-nft -N cali-FORWARD") }, []string{"bad other engines: Calico (chain cali-FORWARD)", "note Bulkhead: is not in force"}},
		{"bridge, off", func() {
			run(t, bridge+"sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=1")
		}, []string{"bad bridge: (br0) reach each other past all policies; set net.bridge.bridge-nf-call-iptables=1"}},
		{"bridge, on", func() {
			enforce(t)
			run(t, bridge+"sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1")
		}, []string{"fine bridge: past the policies"}},
	} {
		apart(t, func() {
			test.setup()
			r := Node(context.Background(), t.TempDir())
			for _, want := range test.want {
				if !has(r, want) {
					t.Errorf("%s: no finding %q in %+v", test.name, want, r.Findings)
				}
			}
			if healthy := !strings.Contains(strings.Join(test.want, "\n"), "bad "); healthy != r.Healthy() {
				t.Errorf("%s: healthy %t", test.name, r.Healthy())
			}
		})
	}
}

func has(r Report, want string) bool {
	head, part, _ := strings.Cut(want, ": ")
	for _, f := range r.Findings {
		if f.Grade.String()+" "+f.Check == head && strings.Contains(f.Text, part) {
			return true
		}
	}
	return false
}

func TestReportAsATable(t *testing.T) {
	var r Report
	r.add("kernel", Fine, "Linux takes the table", "")
	r.add("other engines", Bad, "Calico filters on this node", "remove it, or run beside it")
	var out bytes.Buffer
	if err := (&printer.Printer{Out: &out, Width: 50}).Print(r); err != nil {
		t.Fatal(err)
	}
	want := `fine     kernel         Linux takes the table
bad      other engines  Calico filters on this
                        node
                        -> remove it, or run
                           beside it
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}
