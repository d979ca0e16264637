package control

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// TestMain is also the server that clients launch: "serve HOME".
func TestMain(m *testing.M) {
	if len(os.Args) != 3 || os.Args[1] != "serve" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err := Serve(ctx, HomeAt(os.Args[2]), FirstFile(), log); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const world = `
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x, labels: {app: a}}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: x, labels: {app: b}}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}
`

const denyB = `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny-b, namespace: x}, spec: {podSelector: {matchLabels: {app: b}}}}`

func newState(t *testing.T, yaml string) State {
	t.Helper()
	b, err := manifest.Load([]string{"-"}, manifest.Options{Nodes: 2}, strings.NewReader(yaml))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewState(b, 2)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newHome(t *testing.T) Home {
	t.Helper()
	h, err := openHome(t.TempDir() + "/home")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if names, err := h.Names(); err != nil || len(names) > 0 {
			t.Errorf("left in the folder of labs: %v, %v", names, err)
		}
	})
	return h
}

func launch(t *testing.T, h Home) *Client {
	t.Helper()
	c, err := Launch(os.Stderr, "serve", h.Dir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// startLab launches a server and starts a lab of a name; empty: none.
func startLab(t *testing.T, h Home, name string) *Client {
	t.Helper()
	c := launch(t, h)
	if err := c.Start(t.Context(), Start{Name: name, Network: "routed", State: newState(t, world)}); err != nil {
		t.Fatal(err)
	}
	return c
}

func dial(t *testing.T, h Home, name string) *Client {
	t.Helper()
	c, err := h.Dial(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
