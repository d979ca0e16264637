// Package peers measures policy engines beside each other, and beside no engine,
// on the same kind of cluster with the same work.
//
// All clusters run at the same time and every measurement goes round them, so that
// whatever else the machine does falls on all alike. Clients and servers are
// sockets of this process in the network namespaces of pods: nothing is started
// for a measurement, and both ends read one clock. What is reported of an engine
// is its share of no engine, and times from the moment an API call has returned.
package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/test/cluster/binaries"
)

// An Engine is a policy engine to measure. One without a command is none.
type Engine struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Command []string `json:"command"` // as in control.Config
	Ready   string   `json:"ready"`   // as in control.Config
}

// None says that there is no engine.
func (e Engine) None() bool { return len(e.Command) == 0 }

// KubeRouter is the release of kube-router that package binaries builds, as a
// policy engine alone. Its readiness cannot be asked for.
func KubeRouter(ctx context.Context, progress io.Writer) (Engine, error) {
	cache, err := binaries.DefaultCache(progress)
	if err != nil {
		return Engine{}, err
	}
	path, err := cache.Program(ctx, "kube-router")
	if err != nil {
		return Engine{}, err
	}
	version, err := binaries.Version("kube-router")
	if err != nil {
		return Engine{}, err
	}
	return Engine{Name: "kube-router", Version: version, Command: []string{path, "--run-firewall=true", "--run-router=false",
		"--run-service-proxy=false", "--run-loadbalancer=false", "--kubeconfig={kubeconfig}", "--hostname-override={node}",
		"--service-cluster-ip-range=10.96.0.0/16", "--enable-cni=false"}}, nil
}

// Config says how much to measure.
type Config struct {
	Engines  []Engine
	Pods     int // others, that take no part
	Policies int // of others
	On       []int
	Rounds   int // of each throughput; they are medians of
	Times    int // that each reaction is timed
	Measures []string
	LogDir   string
	Progress io.Writer
}

// A measure goes round the worlds and adds to their results.
type measure struct {
	name string
	run  func(context.Context, *Config, []*world) error
}

// measures are all there are, in the order in which they are done.
var measures = []measure{
	{"usage", usage}, {"reaction", reaction}, {"live", live}, {"start", start}, {"restart", restart}, {"throughput", throughput},
}

// Measures lists what can be measured.
func Measures() []string {
	var names []string
	for _, m := range measures {
		names = append(names, m.name)
	}
	return names
}

// Run measures and returns a result for each engine, in their order; together
// with an error, what has been measured until then.
func Run(ctx context.Context, config Config) (results []*Result, err error) {
	for _, name := range config.Measures {
		if !slices.Contains(Measures(), name) {
			return nil, fmt.Errorf("find measurement %q: there are %s", name, strings.Join(Measures(), ", "))
		}
	}
	var worlds []*world
	defer func() {
		for _, w := range worlds {
			err = errors.Join(err, w.stop())
		}
	}()
	for _, engine := range config.Engines {
		config.say("%s: starting a cluster with %d pods and %d policies", engine.Name, config.Pods, config.Policies)
		w, err := newWorld(ctx, &config, engine)
		if err != nil {
			return results, fmt.Errorf("start cluster with %s: %w", engine.Name, err)
		}
		worlds = append(worlds, w)
		results = append(results, w.result)
	}
	for _, m := range measures {
		if !slices.Contains(config.Measures, m.name) {
			continue
		}
		config.say("measuring %s", m.name)
		if err := m.run(ctx, &config, worlds); err != nil {
			return results, fmt.Errorf("measure %s: %w", m.name, err)
		}
	}
	return results, nil
}

func (c *Config) say(format string, args ...any) {
	if c.Progress != nil {
		fmt.Fprintf(c.Progress, format+"\n", args...)
	}
}
