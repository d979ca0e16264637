package kubelet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// watchHealth runs the postStart hook and then the probes of a run, and posts
// what they find.
func (w *worker) watchHealth(c *container, run *instance) {
	check := &checker{k: w.k, run: run, spec: c.spec, address: w.box.addresses[0].String()}
	// What is found out about an earlier run is of no interest.
	post := func(f func()) {
		w.post(func() {
			if c.current == run {
				f()
			}
		})
	}
	pod := w.pod
	go func() {
		if err := check.postStart(); err != nil {
			w.k.warn(pod, "FailedPostStartHook", err)
			run.signal(syscall.SIGKILL)
			return
		}
		if !check.startedUp() {
			return
		}
		readiness, liveness := c.spec.ReadinessProbe, c.spec.LivenessProbe
		post(func() { c.started, c.begun, c.ready = true, true, readiness == nil })
		go check.probe(liveness, check.survives)
		check.probe(readiness, func(ok bool) (goOn bool) {
			post(func() { c.ready = ok })
			return true
		})
	}()
}

// A checker asks one run of a container how it is.
type checker struct {
	k       *Kubelet
	run     *instance
	spec    *corev1.Container
	address string // of the pod
}

func (c *checker) postStart() error {
	if c.spec.Lifecycle == nil || c.spec.Lifecycle.PostStart == nil {
		return nil
	}
	return c.hook(c.run.alive, c.spec.Lifecycle.PostStart)
}

// startedUp waits for the startup probe, and says whether it was passed.
func (c *checker) startedUp() bool {
	if c.spec.StartupProbe == nil {
		return true
	}
	passed := false
	c.probe(c.spec.StartupProbe, func(ok bool) (goOn bool) {
		passed = ok
		return c.survives(ok) && !ok
	})
	return passed
}

// survives kills a run whose probe failed, to be started anew.
func (c *checker) survives(ok bool) (goOn bool) {
	if !ok {
		c.run.signal(syscall.SIGKILL)
	}
	return ok
}

// probe runs a probe, if there is one, until the run ends or tell has heard
// enough, and tells whenever the result changes.
func (c *checker) probe(p *corev1.Probe, tell func(ok bool) (goOn bool)) {
	if p == nil || !pause(c.run.alive, time.Duration(p.InitialDelaySeconds)*time.Second) {
		return
	}
	tally := tally{successes: max(p.SuccessThreshold, 1), failures: max(p.FailureThreshold, 1)}
	for {
		ctx, cancel := context.WithTimeout(c.run.alive, time.Duration(max(p.TimeoutSeconds, 1))*time.Second)
		err := c.handle(ctx, p.ProbeHandler)
		cancel()
		if c.run.alive.Err() != nil {
			return
		}
		if result, changed := tally.count(err == nil); changed && !tell(result) {
			return
		}
		if !pause(c.run.alive, time.Duration(max(p.PeriodSeconds, 1))*time.Second) {
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// A tally turns single outcomes into a result.
type tally struct {
	successes, failures int32 // in a row, that make a result

	known, result bool
	last          bool
	row           int32 // outcomes like the last one, in a row
}

func (t *tally) count(ok bool) (result, changed bool) {
	if ok != t.last {
		t.row = 0
	}
	t.last = ok
	t.row++
	need := t.failures
	if ok {
		need = t.successes
	}
	if t.row < need || t.known && ok == t.result {
		return t.result, false
	}
	t.known, t.result = true, ok
	return ok, true
}

// hook runs a lifecycle hook.
func (c *checker) hook(ctx context.Context, h *corev1.LifecycleHandler) error {
	if h.Sleep != nil {
		pause(ctx, time.Duration(h.Sleep.Seconds)*time.Second)
		return nil
	}
	return c.handle(ctx, corev1.ProbeHandler{Exec: h.Exec, HTTPGet: h.HTTPGet, TCPSocket: h.TCPSocket})
}

// handle does once what a probe or hook asks for. Connections start at the node,
// as a kubelet's do.
func (c *checker) handle(ctx context.Context, h corev1.ProbeHandler) error {
	switch {
	case h.Exec != nil:
		return c.run.execute(ctx, h.Exec.Command, streams{out: io.Discard, err: io.Discard})
	case h.HTTPGet != nil:
		return c.httpGet(ctx, h.HTTPGet)
	case h.TCPSocket != nil:
		address, err := c.target(h.TCPSocket.Host, h.TCPSocket.Port)
		if err != nil {
			return err
		}
		conn, err := dial(ctx, c.k.View, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	return errors.New("this kubelet does not know probes of that kind")
}

func (c *checker) target(host string, port intstr.IntOrString) (string, error) {
	if host == "" {
		host = c.address
	}
	number := port.IntValue()
	for _, p := range c.spec.Ports {
		if port.Type == intstr.String && p.Name == port.StrVal {
			number = int(p.ContainerPort)
		}
	}
	if number == 0 {
		return "", fmt.Errorf("container has no port %s", port.String())
	}
	return net.JoinHostPort(host, strconv.Itoa(number)), nil
}

func (c *checker) httpGet(ctx context.Context, get *corev1.HTTPGetAction) error {
	address, err := c.target(get.Host, get.Port)
	if err != nil {
		return err
	}
	scheme := "http"
	if get.Scheme == corev1.URISchemeHTTPS {
		scheme = "https"
	}
	path := get.Path
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "kube-probe/"+c.k.Version)
	for _, h := range get.HTTPHeaders {
		request.Header.Set(h.Name, h.Value)
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			request.Host = h.Value
		}
	}
	response, err := c.k.probeClient().Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode >= 400 {
		return fmt.Errorf("get %s: %s", request.URL, response.Status)
	}
	return nil
}

// probeClient trusts every certificate and follows no redirection: a probe asks
// only whether somebody answers.
func (k *Kubelet) probeClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return dial(ctx, k.View, network, address)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// dial connects from a view. Only an address will do: a name would be looked up
// on another thread, elsewhere.
func dial(ctx context.Context, view ns.View, network, address string) (conn net.Conn, err error) {
	onlyNet := ns.View{Net: view.Net}
	err = onlyNet.Do(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
