package kubelet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// ClientName is the common name in the certificate of the only client that a
// kubelet serves, the API server.
const ClientName = "kube-apiserver-kubelet-client"

const (
	idleTimeout   = 4 * time.Hour
	streamTimeout = 30 * time.Second
)

// ServingConfig is how a kubelet identifies itself and its clients.
func ServingConfig(own tls.Certificate, clients *x509.CertPool) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{own},
		ClientCAs:    clients, ClientAuth: tls.VerifyClientCertIfGiven,
		NextProtos: []string{"http/1.1"}, // streams are taken over from HTTP, which HTTP/2 cannot do
	}
}

func (k *Kubelet) serve(listener net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	mux.HandleFunc("/pods", k.servePods)
	for _, pod := range []string{"/{namespace}/{pod}", "/{namespace}/{pod}/{uid}"} {
		mux.HandleFunc("/exec"+pod+"/{container}", k.serveExec)
		mux.HandleFunc("/attach"+pod+"/{container}", k.serveAttach)
		mux.HandleFunc("/portForward"+pod, k.servePortForward)
	}
	mux.HandleFunc("/containerLogs/{namespace}/{pod}/{container}", k.serveLogs)
	server := &http.Server{Handler: authenticated(mux), ErrorLog: nil, ReadHeaderTimeout: streamTimeout}
	// It ends when the listener is closed, with the kubelet.
	_ = server.Serve(listener)
}

// authenticated serves the API server and nobody else.
func authenticated(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.TLS == nil || len(r.TLS.PeerCertificates) == 0:
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
		case r.TLS.PeerCertificates[0].Subject.CommonName != ClientName:
			http.Error(w, "Forbidden", http.StatusForbidden)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

func (k *Kubelet) servePods(w http.ResponseWriter, _ *http.Request) {
	k.mu.Lock()
	names := []string{}
	for _, worker := range k.workers {
		names = append(names, worker.namespace+"/"+worker.name)
	}
	k.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	// The client is gone if this fails.
	_ = json.NewEncoder(w).Encode(names)
}

func (k *Kubelet) serveExec(w http.ResponseWriter, r *http.Request) {
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, r, commands{k}, podName(r), r.PathValue("uid"), r.PathValue("container"), r.URL.Query()["command"],
		options, idleTimeout, streamTimeout, remotecommand.SupportedStreamingProtocols)
}

func (k *Kubelet) serveAttach(w http.ResponseWriter, r *http.Request) {
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeAttach(w, r, commands{k}, podName(r), r.PathValue("uid"), r.PathValue("container"),
		options, idleTimeout, streamTimeout, remotecommand.SupportedStreamingProtocols)
}

func (k *Kubelet) servePortForward(w http.ResponseWriter, r *http.Request) {
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, commands{k}, podName(r), r.PathValue("uid"), options, idleTimeout, streamTimeout, portforward.SupportedProtocols)
}

func podName(r *http.Request) string { return r.PathValue("namespace") + "/" + r.PathValue("pod") }

// commands is what the streaming handlers call; a pod's name is namespace/name.
type commands struct{ k *Kubelet }

func (c commands) find(pod, container string) (*instance, error) {
	namespace, name, _ := strings.Cut(pod, "/")
	w := c.k.find(namespace, name)
	if w == nil {
		return nil, fmt.Errorf("pod %s does not run on %s", pod, c.k.Node.Name)
	}
	run := w.instance(container)
	if run == nil {
		return nil, fmt.Errorf("container %q of pod %s: %w", container, pod, errNotRunning)
	}
	return run, nil
}

// ExecInContainer runs a command in a container.
func (c commands) ExecInContainer(ctx context.Context, pod, _, container string, argv []string, in io.Reader, out, errOut io.WriteCloser,
	tty bool, resize <-chan remotecommand.TerminalSize, timeout time.Duration) error {
	run, err := c.find(pod, container)
	if err != nil {
		return err
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	s := streams{in: in, tty: tty, resize: resize}
	// A nil stream must stay nil within the interface.
	if out != nil {
		s.out = out
	}
	if errOut != nil {
		s.err = errOut
	}
	return run.execute(ctx, argv, s)
}

// AttachContainer connects a client to a container's first process.
func (c commands) AttachContainer(ctx context.Context, pod, _, container string, in io.Reader, out, errOut io.WriteCloser,
	_ bool, resizes <-chan remotecommand.TerminalSize) error {
	run, err := c.find(pod, container)
	if err != nil {
		return err
	}
	detach := run.stdio.attach(writer(out), writer(errOut))
	defer detach()
	if run.stdio.terminal != nil {
		go resize(run.stdio.terminal, resizes)
	}
	if in != nil && run.stdio.stdin != nil {
		go func() {
			_, _ = io.Copy(run.stdio.stdin, in)
			if run.stdio.terminal == nil {
				run.stdio.stdin.Close() // what it reads has an end
			}
		}()
	}
	select {
	case <-run.alive.Done():
	case <-ctx.Done():
	}
	return nil
}

// writer keeps a nil stream nil within the interface.
func writer(w io.WriteCloser) io.Writer {
	if w == nil {
		return nil
	}
	return w
}

// PortForward connects a stream to a port of a pod.
func (c commands) PortForward(ctx context.Context, pod, _ string, port int32, stream io.ReadWriteCloser) error {
	namespace, name, _ := strings.Cut(pod, "/")
	view, ok := c.k.PodView(namespace, name)
	if !ok {
		return fmt.Errorf("pod %s does not run on %s", pod, c.k.Node.Name)
	}
	return forward(ctx, view, port, stream)
}

func (k *Kubelet) serveLogs(w http.ResponseWriter, r *http.Request) {
	options, err := parseLogOptions(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	worker := k.find(r.PathValue("namespace"), r.PathValue("pod"))
	if worker == nil {
		http.Error(w, fmt.Sprintf("pod %s does not run on %s", podName(r), k.Node.Name), http.StatusNotFound)
		return
	}
	name := r.PathValue("container")
	path, ok := worker.logPath(name, options.previous)
	if !ok {
		http.Error(w, fmt.Sprintf("container %q of pod %s has not run", name, podName(r)), http.StatusBadRequest)
		return
	}
	running := func() bool { return worker.instance(name) != nil }
	if err := writeLog(r.Context(), w, path, options, running); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
