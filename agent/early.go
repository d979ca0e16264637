package agent

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bulkhead-dev/bulkhead/agent/nri"
	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/printer"
)

// Runtime is whether an agent asks the container runtime which pods start.
type Runtime struct {
	// Socket is the runtime's for its plugins; empty: the agent does not ask.
	Socket string
	// Required: a socket that is not there is worth a word in the log.
	Required bool
	// Again is how long to wait before the next try; zero: ten seconds.
	Again time.Duration
}

// early is what the runtime told of pods' addresses that the API does not have.
type early struct {
	addrs     map[cluster.Name][]netip.Addr
	news      chan struct{} // closed when the source told something
	connected atomic.Pointer[string]
}

const (
	// runtimeWait is how long a pod's containers wait for its policies: less
	// than the two seconds after which runtimes give a plugin up.
	runtimeWait = time.Second
	// runtimeAgain is the pause between two tries to reach the runtime.
	runtimeAgain = 10 * time.Second
)

// followRuntime keeps a session with the runtime until the context ends.
func (a *Agent) followRuntime(ctx context.Context) {
	for ctx.Err() == nil {
		err := nri.Run(ctx, nri.Options{
			Socket:  a.options.Runtime.Socket,
			Started: a.podStarts,
			Stopped: a.podStops,
			Connected: func(runtime, version string) {
				name := runtime + " " + version
				a.early.connected.Store(&name)
				a.log.Info("the container runtime tells of pods before they run", "runtime", runtime, "version", version)
			},
		})
		was := a.early.connected.Swap(nil)
		nobody := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
		if ctx.Err() == nil && (was != nil || !nobody || a.options.Runtime.Required) {
			a.log.Warn("the container runtime does not tell of pods", "error", err)
		}
		if pause(ctx, a.options.Runtime.Again, runtimeAgain) != nil {
			return
		}
	}
}

// podStarts gives a pod of this node its addresses and returns when its policies
// are in force. A pod that the source has not told of in time stays held.
func (a *Agent) podStarts(ctx context.Context, p nri.Pod) {
	if len(p.Addrs) == 0 {
		return
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, runtimeWait)
	defer cancel()
	name := cluster.Name{Namespace: p.Namespace, Name: p.Name}
	if !a.learn(ctx, name, p.Addrs) {
		a.log.Warn("the container runtime starts a pod that is not known yet", "pod", name.String(), "addresses", p.Addrs)
		return
	}
	if err := a.engine.Wait(ctx); err != nil {
		a.log.Warn("a pod starts before its policies are in force", "pod", name.String(), "error", err)
		return
	}
	a.metrics.podStart.Observe(time.Since(start).Seconds())
}

// learn waits for the source to tell of a pod and sets its addresses.
func (a *Agent) learn(ctx context.Context, name cluster.Name, addrs []netip.Addr) bool {
	for {
		a.mu.Lock()
		pod, known := a.known.told[name]
		news := a.early.news
		if known && a.ready {
			a.early.addrs[name] = addrs
			a.setPod(pod)
			a.mu.Unlock()
			return true
		}
		a.mu.Unlock()
		select {
		case <-ctx.Done():
			return false
		case <-news:
		}
	}
}

// podStops forgets what the runtime told of a pod.
func (a *Agent) podStops(p nri.Pod) {
	name := cluster.Name{Namespace: p.Namespace, Name: p.Name}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, told := a.early.addrs[name]; !told {
		return
	}
	delete(a.early.addrs, name)
	if pod, known := a.known.told[name]; known {
		a.setPod(pod)
	}
}

// setPod hands a pod of this node to the engine as the source has it, with the
// addresses that the runtime told besides. The caller has the lock.
func (a *Agent) setPod(told *cluster.Pod) {
	pod := told
	more := slices.DeleteFunc(slices.Clone(a.early.addrs[told.Name]), func(addr netip.Addr) bool { return slices.Contains(told.Addrs, addr) })
	if len(more) == 0 {
		delete(a.early.addrs, told.Name)
	} else {
		with := *told
		with.Addrs = slices.Concat(told.Addrs, more)
		pod = &with
	}
	a.engine.SetPod(pod)
	a.known.local[told.Name], a.known.told[told.Name] = pod, told
}

// tell wakes those who wait for the source to tell of a pod. The caller has the
// lock.
func (e *early) tell() {
	close(e.news)
	e.news = make(chan struct{})
}

func (a *Agent) runtimeStatus() string {
	if name := a.early.connected.Load(); name != nil {
		return *name
	}
	return ""
}

func runtimeCell(runtime string) printer.Cell {
	if runtime == "" {
		return plain("does not tell of pods before they run")
	}
	return plain(runtime + " tells of pods before they run")
}
