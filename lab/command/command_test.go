package command

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/lab/space"
)

// TestMain is also a program that starts another and waits to be killed.
func TestMain(m *testing.M) {
	if os.Getenv("COMMAND_TEST_START") == "" {
		kerneltest.Main(m)
	}
	s, err := space.New()
	if err == nil {
		_, err = Start(shell(s, os.Getenv("COMMAND_TEST_START"), os.Stdout))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	select {}
}

func newSpace(t *testing.T) *space.Space {
	t.Helper()
	s, err := space.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func shell(s *space.Space, script string, out *os.File) Command {
	return Command{
		Space: s, Hostname: "backend", Path: "/bin/sh", Args: []string{"sh", "-c", script},
		Env: os.Environ(), Dir: "/", Stdin: os.Stdin, Stdout: out, Stderr: out,
	}
}

// output runs a command and returns what it printed, and its exit code.
func output(t *testing.T, change func(*Command), script string) (string, int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := shell(newSpace(t), script, w)
	if change != nil {
		change(&c)
	}
	p, err := Start(c)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	code, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return string(out), code
}

func TestInside(t *testing.T) {
	script := "hostname; cat /etc/resolv.conf; tail -n +3 /proc/net/dev | wc -l; pwd"
	out, code := output(t, func(c *Command) {
		c.Files = []File{{"/etc/resolv.conf", "nameserver 10.96.0.10\n"}, {"/etc/no-such-file", "x"}}
		c.Dir = "/etc"
	}, script)
	want := "bulkhead: this machine has no /etc/no-such-file, so the lab's cannot take its place\n" +
		"backend\nnameserver 10.96.0.10\n1\n/etc\n"
	if out != want || code != 0 {
		t.Errorf("exit code %d, output\n%s\nwant\n%s", code, out, want)
	}
}

func TestMachineStaysAsItIs(t *testing.T) {
	read := func() string {
		name, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		mounts, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			t.Fatal(err)
		}
		resolv, err := os.ReadFile("/etc/resolv.conf")
		if err != nil {
			t.Fatal(err)
		}
		return name + string(mounts) + string(resolv)
	}
	before := read()
	output(t, func(c *Command) { c.Files = []File{{"/etc/resolv.conf", "nameserver 10.96.0.10\n"}} }, "true")
	if after := read(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

func TestExitCodes(t *testing.T) {
	for script, want := range map[string]int{"true": 0, "exit 7": 7, "kill -TERM $$; exit 0": 128 + 15, "no-such-program": 127} {
		if _, code := output(t, nil, script+" 2>/dev/null"); code != want {
			t.Errorf("%s: exit code %d, want %d", script, code, want)
		}
	}
}

func TestSignal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := Start(shell(newSpace(t), "echo ready; while :; do sleep 1000; done", w))
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(r).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, err := p.Wait(); code != 128+15 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
	if err := p.Signal(unix.SIGTERM); err != nil {
		t.Errorf("a signal to what has ended: %v", err)
	}
}

func TestMissingProgram(t *testing.T) {
	c := shell(newSpace(t), "", os.Stdout)
	c.Path = "/no/such/program"
	if _, err := Start(c); err == nil || !strings.Contains(err.Error(), "run /no/such/program: ") {
		t.Errorf("got %v", err)
	}
}

// TestNothingOutlivesTheProgram: what the script leaves behind has its output
// open, and output returns only when nobody has.
func TestNothingOutlivesTheProgram(t *testing.T) {
	if out, code := output(t, nil, "sleep 1000 & echo started"); out != "started\n" || code != 0 {
		t.Errorf("exit code %d, output %q", code, out)
	}
}

func TestNothingOutlivesItsStarter(t *testing.T) {
	starter := exec.Command("/proc/self/exe")
	starter.Env = append(os.Environ(), "COMMAND_TEST_START=sleep 1000 & echo started; sleep 1000")
	out, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); line != "started\n" || err != nil {
		t.Fatalf("got %q, %v", line, err)
	}
	if err := starter.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil { // until nobody has it open
		t.Errorf("got %q, %v", rest, err)
	}
	_ = starter.Wait()
}

func TestTerminal(t *testing.T) {
	master, slave := openTerminal(t)
	c := shell(newSpace(t), "tty >/dev/null && test -r /dev/tty && echo controls", slave)
	c.Stdin, c.Terminal = slave, true
	p, err := Start(c)
	slave.Close()
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(master).ReadString('\n')
	if strings.TrimSpace(line) != "controls" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	if code, err := p.Wait(); code != 0 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
}

func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}
