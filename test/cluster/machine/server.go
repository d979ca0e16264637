package machine

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// serve answers those who steer the cluster.
func (m *Machine) serve(listener net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, m.status(), nil) })
	mux.HandleFunc("GET /pods/{namespace}/{name}", func(w http.ResponseWriter, r *http.Request) {
		pod, err := m.pod(r.PathValue("namespace"), r.PathValue("name"))
		answer(w, pod, err)
	})
	mux.HandleFunc("POST /process", func(w http.ResponseWriter, r *http.Request) {
		status, err := m.steer(r)
		answer(w, status, err)
	})
	mux.HandleFunc("POST /compact", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, m.plane.Compact(r.Context()))
	})
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{}, nil)
		m.stop()
	})
	// It ends with the listener, at the end of the cluster.
	_ = http.Serve(listener, mux)
}

func (m *Machine) steer(r *http.Request) (*control.ProcessStatus, error) {
	var request control.ProcessRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, err
	}
	p, err := m.find(request.Name)
	if err != nil {
		return nil, err
	}
	for _, n := range m.nodes {
		if request.Name == "engine/"+n.Name && request.Command != nil {
			request.Command = n.fill(request.Command)
		}
	}
	if err := p.Do(r.Context(), request); err != nil {
		return nil, err
	}
	status := p.Status()
	return &status, nil
}

func answer(w http.ResponseWriter, value any, err error) {
	if err != nil {
		code := http.StatusBadRequest
		if errors.Is(err, errUnknownPod) {
			code = http.StatusNotFound
		}
		http.Error(w, err.Error(), code)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// The client is gone if this fails.
	_ = json.NewEncoder(w).Encode(value)
}

// forward passes connections from outside on to the API server.
func (m *Machine) forward(ctx context.Context, listener net.Listener) {
	context.AfterFunc(ctx, func() { listener.Close() })
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			m.log.Warn("accept connection to API server", "error", err)
			continue
		}
		go m.pass(ctx, conn)
	}
}

func (m *Machine) pass(ctx context.Context, outside net.Conn) {
	defer outside.Close()
	inside, err := dialer(m.view)(ctx, "tcp", m.plane.Server[len("https://"):])
	if err != nil {
		return // as if the API server itself did not answer
	}
	defer inside.Close()
	go func() {
		_, _ = io.Copy(inside, outside)
		_ = inside.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(outside, inside)
}

// dialer connects from a network namespace.
func dialer(view ns.View) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = view.Do(func() error {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}
