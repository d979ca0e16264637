package sandbox

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/lab/space"
)

// TestMain is also the program that is started again, as whoever the argument
// says.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		var err error
		switch os.Args[1] {
		case "inside":
			err = inside()
		case "dropped":
			runtime.LockOSThread() // capabilities are a thread's
			var none [2]unix.CapUserData
			if err = unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err == nil {
				err = again("inside")
			}
		case "unprivileged":
			err = again("inside")
		default:
			os.Exit(m.Run())
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// inside does what labs do, and says where.
func inside() error {
	if err := Check(); err != nil {
		return err
	}
	s, err := space.New()
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Set(space.Sysctl{Path: "ipv4/ip_forward", Value: "1"}); err != nil {
		return err
	}
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	fmt.Printf("uid %d, %d devices\n", os.Getuid(), len(links))
	return nil
}

// again starts the program in a sandbox.
func again(arg string) error {
	cmd, err := Command(arg)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := Start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

func TestPrivileged(t *testing.T) {
	if privileged, err := hasNeeded(); err != nil || !privileged {
		t.Fatalf("these tests need root, or a user namespace (unshare -Ur): %v", err)
	}
	cmd, err := Command("inside")
	if err != nil {
		t.Fatal(err)
	}
	check(t, cmd, "uid 0, 1 devices\n")
}

func TestUnprivileged(t *testing.T) {
	// A copy, for the folder of the test program is not everybody's to enter.
	program := copyOf(t)
	cmd := exec.Command(program, "unprivileged")
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if mapped(nobody) {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	} else { // in a user namespace with one user: it has privileges, but may drop them
		cmd.Args[1] = "dropped"
	}
	check(t, cmd, "uid 0, 1 devices\n")
}

const nobody = 65534

// mapped tells whether the user exists in this user namespace.
func mapped(uid int) bool {
	content, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	var first, outside, count int
	fmt.Sscan(string(content), &first, &outside, &count)
	return first <= uid && uid-first < count
}

func copyOf(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "sandbox-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program := dir + "/program"
	if err := os.WriteFile(program, content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

func check(t *testing.T, cmd *exec.Cmd, want string) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || out.String() != want {
		t.Errorf("got %q, %v; want %q", out.String(), err, want)
	}
}

func TestAdvice(t *testing.T) {
	for forbidding, want := range map[string]string{
		"/proc/sys/kernel/unprivileged_userns_clone 0":             "sysctl kernel.unprivileged_userns_clone=1",
		"/proc/sys/user/max_user_namespaces 0":                     "sysctl user.max_user_namespaces=10000",
		"/proc/sys/kernel/apparmor_restrict_unprivileged_userns 1": "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
		"": "run it as root",
	} {
		got := advice(func(path string) string {
			setting, value, _ := strings.Cut(forbidding, " ")
			if setting == path {
				return value
			}
			return "" // other kernels do not have it
		})
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q does not say %q", forbidding, got, want)
		}
	}
}

func TestStartSaysWhatToDo(t *testing.T) {
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER,
		// More than one's own user may not be mapped without privileges over it.
		UidMappings: []syscall.SysProcIDMap{{HostID: 1 << 31, Size: 1}, {HostID: 1 << 31, Size: 1}},
	}
	if err := Start(cmd); err == nil || !strings.Contains(err.Error(), "run it as root") {
		t.Errorf("got %v", err)
	}
}
