package neighbour

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

// apart runs a function in a network namespace of its own. The thread ends with
// it, and the namespace with the thread.
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
	args := strings.Fields(command)
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", command, err, out)
	}
}

func TestKernelOfABareNamespace(t *testing.T) {
	apart(t, func() {
		e, err := Kernel()
		if err != nil {
			t.Error(err)
		}
		if len(e.Tables)+len(e.Chains) > 0 || !slices.Equal(e.Links, []string{"lo"}) {
			t.Errorf("evidence %+v, want a loopback device only", e)
		}
		if names, err := os.ReadFile(legacyFamilies[0].names); err == nil && len(names) > 0 {
			t.Errorf("looking made iptables tables: %s", names)
		}
	})
}

func TestKernelShowsBothKindsOfChains(t *testing.T) {
	for _, test := range []struct {
		setup string
		want  string
	}{
		{"iptables-nft -N cali-FORWARD", "Calico (chain cali-FORWARD)"},
		{"iptables-legacy -N cali-FORWARD", "Calico (chain cali-FORWARD)"},
		{"iptables-legacy -t nat -N cali-PREROUTING", "Calico (chain cali-PREROUTING)"},
		{"ip6tables-legacy -N KUBE-ROUTER-FORWARD", "kube-router (chain KUBE-ROUTER-FORWARD)"},
		{"nft add table inet kube-network-policies", "kube-network-policies (table kube-network-policies)"},
		{"ip link add antrea-gw0 type veth", "Antrea (device antrea-gw0)"},
	} {
		apart(t, func() {
			run(t, test.setup)
			e, err := Kernel()
			if err != nil {
				t.Errorf("%s: %v", test.setup, err)
			}
			found := Recognise(e)
			if len(found) != 1 || found[0].String() != test.want || !found[0].InKernel {
				t.Errorf("%s: found %v, want %s", test.setup, found, test.want)
			}
		})
	}
}

// entry is an iptables rule of IPv4 whose target has a name and a text.
func entry(target, text string) []byte {
	e := make([]byte, 112+32+32)
	binary.NativeEndian.PutUint16(e[88:], 112)
	binary.NativeEndian.PutUint16(e[90:], uint16(len(e)))
	copy(e[112+2:], target)
	copy(e[112+32:], text)
	return e
}

func TestUserChainsOfBrokenTables(t *testing.T) {
	f := legacyFamilies[0]
	good := slices.Concat(entry("", "x"), entry("ERROR", "one"), entry("LOG", "two"), entry("ERROR", "three"), entry("ERROR", "ERROR"))
	if got := f.userChains(good); !slices.Equal(got, []string{"one", "three"}) {
		t.Errorf("chains %q, want one and three", got)
	}
	for n := range len(good) {
		f.userChains(good[:n]) // no panic
	}
	endless := entry("ERROR", "one")
	binary.NativeEndian.PutUint16(endless[90:], 0)
	if got := f.userChains(endless); len(got) > 0 {
		t.Errorf("chains %q of an entry without an end", got)
	}
}

func TestCNI(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"10-azure.conflist": `{"name": "azure", "plugins": [{"type": "azure-vnet", "mode": "transparent"}, {"type": "portmap"}]}`,
		"20-calico.conf":    `{"name": "k8s-pod-network", "type": "calico"}`,
		"README":            `not JSON`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e, err := CNI(dir)
	slices.Sort(e.Plugins)
	if err != nil || !slices.Equal(e.Plugins, []string{"azure-vnet", "calico", "portmap"}) {
		t.Errorf("plugins %q, %v", e.Plugins, err)
	}
	if e, err := CNI(filepath.Join(dir, "missing")); err != nil || len(e.Plugins) > 0 {
		t.Errorf("missing folder: %q, %v", e.Plugins, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.conf"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := CNI(dir); err == nil || !strings.Contains(err.Error(), "broken.conf") {
		t.Errorf("broken file: %v, want an error that names it", err)
	}
}
