package agent

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are what Prometheus reads. What has a state is asked for when it is
// read; what happens is counted when it happens.
type metrics struct {
	registry      *prometheus.Registry
	agent         *Agent
	commits       *prometheus.CounterVec
	commitSeconds *prometheus.HistogramVec
	elements      prometheus.Counter
	cutSeconds    prometheus.Histogram
	denied        *deniedCounts
	latency       prometheus.Histogram
	podStart      prometheus.Histogram
}

func newMetrics(a *Agent) *metrics {
	// From 0.1 ms, one element, to about 100 s.
	fine := prometheus.ExponentialBuckets(0.0001, 2, 20)
	m := &metrics{
		registry: prometheus.NewRegistry(),
		agent:    a,
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_commits_total",
			Help: "Transactions sent to the kernel: single changes, and whole tables compared and completed.",
		}, []string{"kind", "result"}),
		commitSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "bulkhead_commit_duration_seconds", Buckets: fine,
			Help: "Time that the kernel took for a transaction.",
		}, []string{"kind"}),
		elements: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bulkhead_changed_entries_total",
			Help: "Entries of the plan that single changes touched.",
		}),
		cutSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "bulkhead_connection_review_duration_seconds", Buckets: fine,
			Help: "Time to find and end the connections that a change no longer allows.",
		}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "bulkhead_change_latency_seconds", Buckets: fine,
			Help: "Time from a change's arrival on this node until it was in force.",
		}),
		podStart: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "bulkhead_pod_start_delay_seconds", Buckets: fine,
			Help: "Time that the container runtime held a pod's containers back until its policies were in force.",
		}),
	}
	m.denied = newDeniedCounts(a.options.Dataplane)
	m.registry.MustRegister(m.denied, heldCollector{a}, spoofedCollector{a}, m.commits, m.commitSeconds, m.elements, m.cutSeconds, m.latency, m.podStart, a.inspected.queries, a.inspected.requests, stateCollector{a},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// stateCollector reads the agent's state at each scrape.
type stateCollector struct{ agent *Agent }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("bulkhead_"+name, help, labels, nil)
}

var (
	buildInfo    = desc("build_info", "The program's version and the node's name; always 1.", "version", "node")
	readyDesc    = desc("ready", "1 once all that the source told at first is in force.")
	localPods    = desc("local_pods", "Pods of this node on the pod network.")
	nodeExists   = desc("node_exists", "1 if the cluster has a node of this agent's name.")
	policies     = desc("policies", "Policies known in the cluster.", "dialect", "kind")
	isolated     = desc("isolated_addresses", "Addresses of this node's pods that a policy selects.")
	faults       = desc("faulty_objects", "Objects with something wrong in them, by reason.", "reason")
	lastChange   = desc("last_commit_timestamp_seconds", "When the kernel took a change last; 0: not yet.")
	upToDate     = desc("up_to_date", "0 while the kernel refuses a change, so that an older state is in force.")
	nodeProblem  = desc("node_problem", "1 for each problem of the node; a fatal one keeps policies from being enforced.", "problem", "fatal")
	otherEngines = desc("other_engines", "Other policy engines that filter on this node.")
	auditMissed  = desc("audit_missed_total", "Times that packets were not noted because too many came at once.")
	restores     = desc("table_restores_total", "Times that the tables were brought back to the whole plan.")
	cut          = desc("connections_cut_total", "Live connections ended because a policy no longer allows them.")
	apiConnected = desc("api_connected", "1 while the API server answers.", "resource")
	apiSynced    = desc("api_synced", "1 once a complete list was seen.", "resource")
	apiLists     = desc("api_lists_total", "Complete lists read.", "resource")
	apiFailures  = desc("api_failures_total", "Times that the API server was lost.", "resource")
	apiObjects   = desc("api_objects", "Objects kept.", "resource")
)

// Describe is prometheus.Collector.
func (c stateCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		buildInfo, readyDesc, localPods, nodeExists, policies, isolated, faults, nodeProblem, otherEngines, auditMissed, lastChange, upToDate, restores, cut,
		apiConnected, apiSynced, apiLists, apiFailures, apiObjects,
	} {
		out <- d
	}
}

// Collect is prometheus.Collector.
func (c stateCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
	a := c.agent
	gauge(buildInfo, 1, a.options.Version, a.options.Node)
	gauge(readyDesc, truth(a.Ready()))
	a.mu.Lock()
	local, kinds, exists := len(a.known.local), kindsOf(a.known.policies), a.known.own != nil
	a.mu.Unlock()
	gauge(localPods, float64(local))
	for _, k := range kinds {
		gauge(policies, float64(k.Count), k.Dialect, k.Kind)
	}
	gauge(nodeExists, truth(exists))
	count := map[Reason]int{NotEnforced: 0, PartlyEnforced: 0, NotSupported: 0, NotUnderstood: 0, AddressShared: 0}
	for _, f := range a.faults.list() {
		count[f.Reason]++
	}
	for reason, n := range count {
		gauge(faults, float64(n), string(reason))
	}
	for _, p := range a.health.get() {
		gauge(nodeProblem, 1, p.Name, strconv.FormatBool(p.Fatal))
	}
	others, _ := a.company.get()
	gauge(otherEngines, float64(len(others)))
	if a.options.Denials != nil {
		counter(auditMissed, int(a.options.Denials.Missed()))
	}
	c.collectKernel(gauge, counter)
	for _, s := range a.options.Source.Status().Tables {
		gauge(apiConnected, truth(s.Lost == ""), s.Kind)
		gauge(apiSynced, truth(s.Synced), s.Kind)
		gauge(apiObjects, float64(s.Objects), s.Kind)
		counter(apiLists, s.Lists, s.Kind)
		counter(apiFailures, s.Failures, s.Kind)
	}
}

func (c stateCollector) collectKernel(
	gauge func(*prometheus.Desc, float64, ...string), counter func(*prometheus.Desc, int, ...string),
) {
	state := c.agent.kernel.State()
	gauge(isolated, float64(c.agent.kernel.isolated()))
	if state.Changed.IsZero() {
		gauge(lastChange, 0)
	} else {
		gauge(lastChange, float64(state.Changed.UnixMilli())/1000)
	}
	gauge(upToDate, truth(state.Failed == ""))
	counter(restores, state.Restored)
	counter(cut, state.Cut)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
