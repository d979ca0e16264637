package control

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func shell(target, script string) Exec {
	return Exec{Target: target, Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: os.Environ(), Dir: "/"}
}

// run runs a script with an input and returns its output and exit code.
func run(t *testing.T, c *Client, e Exec, input string) (string, int) {
	t.Helper()
	stdin, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	result, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	go func() {
		io.WriteString(feed, input)
		feed.Close()
	}()
	code, err := c.Exec(t.Context(), e, stdin, stdout, stdout)
	stdin.Close()
	stdout.Close()
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(result)
	if err != nil {
		t.Fatal(err)
	}
	return string(out), code
}

func TestExec(t *testing.T) {
	c := startLab(t, newHome(t), "")
	defer c.Close()
	for _, row := range []struct {
		target, script, input, want string
		code                        int
	}{
		{"x/a", "hostname; cat", "some input", "a\nsome input", 0},
		{"x/b", "echo $HOSTNAME; exit 7", "", "b\n", 7},
		{"node/node-2", "hostname", "", "node-2\n", 0},
		{"outside", "hostname", "", "outside\n", 0},
		{"x/a", "kill -9 $$", "", "", 137},
	} {
		if out, code := run(t, c, shell(row.target, row.script), row.input); out != row.want || code != row.code {
			t.Errorf("%s: %s: exit code %d, %q", row.target, row.script, code, out)
		}
	}
	var input InputError
	_, err := c.Exec(t.Context(), shell("x/none", "true"), os.Stdin, os.Stdout, os.Stderr)
	if !errors.As(err, &input) || !strings.Contains(err.Error(), `no "x/none"`) {
		t.Errorf("nowhere: %v", err)
	}
	missing := shell("x/a", "")
	missing.Path = "/no/such/program"
	if _, err := c.Exec(t.Context(), missing, os.Stdin, os.Stdout, os.Stderr); err == nil {
		t.Error("a program that is not there runs")
	}
}

func TestSignalsReachTheProgram(t *testing.T) {
	c := startLab(t, newHome(t), "")
	defer c.Close()
	result, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	go func() {
		if _, err := bufio.NewReader(result).ReadString('\n'); err == nil {
			c.Signal(unix.SIGINT)
		}
	}()
	code, err := c.Exec(t.Context(), shell("x/a", "trap 'exit 42' INT; echo ready; while :; do sleep 0.01; done"), os.Stdin, stdout, stdout)
	stdout.Close()
	if code != 42 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
}

// TestProgramEndsWithItsClient: its output ends when nobody is left to write it.
func TestProgramEndsWithItsClient(t *testing.T) {
	h := newHome(t)
	if err := startLab(t, h, "exec").Detach(); err != nil {
		t.Fatal(err)
	}
	defer h.Down(t.Context(), "exec")
	c := dial(t, h, "exec")
	result, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	r := bufio.NewReader(result)
	ended := make(chan error, 1)
	go func() {
		_, err := c.Exec(t.Context(), shell("x/a", "echo ready; sleep 1000 & sleep 1000"), os.Stdin, stdout, stdout)
		stdout.Close()
		ended <- err
	}()
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := <-ended; err == nil {
		t.Error("the client was not told")
	}
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestTerminal(t *testing.T) {
	c := startLab(t, newHome(t), "")
	defer c.Close()
	keyboard, screen, err := openTerminal() // the user's: we are at its other end
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	defer screen.Close()
	if err := unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 77}); err != nil {
		t.Fatal(err)
	}
	shown := make(chan string, 1)
	go func() {
		r := bufio.NewReader(keyboard)
		line, _ := r.ReadString('\n')
		io.WriteString(keyboard, "\x03") // interrupt, as a key
		shown <- line
	}()
	code, err := c.ExecTerminal(t.Context(), shell("x/a", "trap 'exit 42' INT; stty size; while :; do sleep 0.01; done"), screen, screen)
	if code != 42 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
	if got := strings.TrimSpace(<-shown); got != "33 77" {
		t.Errorf("shown: %q", got)
	}
}
