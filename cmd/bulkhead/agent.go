package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/agent"
	"github.com/bulkhead-dev/bulkhead/agent/nri"
	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/kube"
	"github.com/bulkhead-dev/bulkhead/conntrack"
	"github.com/bulkhead-dev/bulkhead/dataplane/audit"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/names"
	"github.com/bulkhead-dev/bulkhead/neighbour"
	"github.com/bulkhead-dev/bulkhead/podroute"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/proxy"
)

const agentHelp = `Enforce network policies on this node, until the process is ended. It reads what
exists from an API server, or from a folder, and puts it into the kernel's table
"inet bulkhead" of the network namespace that it is started in.

Nothing changes before all that exists is known, and what is in force stays in
force when the agent ends or loses the API server: to take enforcement away, see
bulkhead uninstall.`

// agentAddress is where an agent listens if nobody says otherwise.
const agentAddress = "127.0.0.1:9477"

// garbage is how much of it may pile up, in percent of what is in use. Most of
// what an agent has in use is what exists in the cluster, and stays; it makes
// little garbage once it has read that, so memory is dearer than collecting.
const garbage = 50

// agentFlags are what the agent is told on the command line.
type agentFlags struct {
	kubeconfig, manifests, node string
	listen                      string
	mode                        string
	beside                      agent.Beside
	resetTCP, guard             bool
	hold                        string
	failsafeIn, failsafeOut     []string
	podCIDRs                    []string
	sourceCheck                 string
	proxy, stateDir, refusal    string
	nameGrace                   time.Duration
	nri, nriSocket              string
	logFormat                   string
	logLevel                    slog.Level
}

func newAgentCommand() *cobra.Command {
	var flags agentFlags
	cmd := &cobra.Command{
		Use:     "agent",
		Short:   "Enforce policies on this node",
		Long:    agentHelp,
		GroupID: groupNode,
		Example: `  bulkhead agent                                             # in a pod, with $NODE_NAME
  bulkhead agent --kubeconfig /etc/kubernetes/admin.conf --node-name worker-1
  bulkhead agent --manifests /etc/bulkhead --node-name worker-1`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.check(); err != nil {
				return badInput(err)
			}
			return flags.run(cmd.Context(), cmd.ErrOrStderr())
		},
	}
	flags.add(cmd)
	return cmd
}

func (f *agentFlags) add(cmd *cobra.Command) {
	source := newFlagGroup("What exists")
	source.flags.StringVar(&f.kubeconfig, "kubeconfig", "", "the API server of this `FILE`'s current context; without it, the one of the pod that this runs in")
	source.flags.StringVar(&f.manifests, "manifests", "", "no API server: the manifests in `DIR`, read again when they change")
	source.flags.StringVar(&f.node, "node-name", os.Getenv("NODE_NAME"), "this node's `NAME` in the cluster; $NODE_NAME if that is set")
	enforce := newFlagGroup("Enforcement")
	enforce.flags.StringVar(&f.mode, "mode", cluster.ModeEnforce, "`enforce|audit`: in audit, what policies deny is logged and let through; namespaces choose with the label "+cluster.ModeLabel)
	enforce.flags.Var(&f.beside, "beside", "on a node where another policy engine filters: wait until it is gone, audit, or enforce as if alone")
	enforce.flags.BoolVar(&f.resetTCP, "reset-tcp", false, "answer denied TCP packets with a reset, so that programs fail at once")
	enforce.flags.StringVar(&f.hold, "hold", choiceAuto, "`auto|off`: addresses of this node's pods are shut off until it is known which pod has them, or not")
	enforce.flags.StringSliceVar(&f.podCIDRs, "pod-cidr", nil, "the addresses that this node gives to its pods, for --hold; without it, those of the node's spec.podCIDRs, or else those with a route to a pod's link")
	enforce.flags.StringVar(&f.sourceCheck, "source-check", choiceAuto, "`auto|off`: stop what pods send from addresses that are not their own, or not")
	enforce.flags.StringVar(&f.nri, "nri", choiceAuto, "`auto|on|off`: hear of pods from the container runtime before they run; auto where its socket is")
	enforce.flags.StringVar(&f.nriSocket, "nri-socket", nri.Socket, "the container runtime's `SOCKET` for its plugins")
	enforce.flags.BoolVar(&f.guard, "guard", true, "let nobody else change or flush the tables, where the kernel can (Linux 6.9); otherwise what others change is put back")
	hosts := newFlagGroup("Policies on this node itself")
	hosts.flags.StringSliceVar(&f.failsafeIn, "failsafe-in", nil, "ports that host endpoints leave open to this node, as `PROTOCOL:[CIDR:]PORT`, or none; without it "+failsafeList(policy.DefaultFailsafes().Ingress))
	hosts.flags.StringSliceVar(&f.failsafeOut, "failsafe-out", nil, "the same from this node, as `PROTOCOL:[CIDR:]PORT`; without it "+failsafeList(policy.DefaultFailsafes().Egress))
	content := newFlagGroup("Names and HTTP")
	content.flags.StringVar(&f.proxy, "proxy", choiceAuto, "`auto|off`: connections whose content policies ask for go through a proxy in this process, or are denied")
	content.flags.StringVar(&f.stateDir, "state-dir", "", "keep in `DIR` which addresses names have, over a restart; it must exist")
	content.flags.DurationVar(&f.nameGrace, "name-grace", names.DefaultLimits.Grace, "for how long new connections to an address are allowed after its name's time to live")
	content.flags.StringVar(&f.refusal, "dns-refusal", refusalRefused, "`refused|nxdomain`: the answer to queries that policies do not allow")
	report := newFlagGroup("Reports")
	report.flags.StringVar(&f.listen, "listen", agentAddress, "`ADDRESS:PORT` for health, metrics and bulkhead status; empty: none")
	report.flags.StringVar(&f.logFormat, "log-format", "text", "how to log: text|json")
	report.flags.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "what to log: debug|info|warn|error")
	help := newFlagGroup("Help")
	help.flags.BoolP("help", "h", false, "print this")
	addFlagGroups(cmd, source, enforce, hosts, content, report, help)
}

func (f *agentFlags) check() error {
	switch {
	case f.kubeconfig != "" && f.manifests != "":
		return errors.New("--kubeconfig and --manifests exclude each other: what exists comes from one of them")
	case f.node == "":
		return errors.New("no node name: give --node-name, or set NODE_NAME by the downward API")
	case f.mode != cluster.ModeEnforce && f.mode != cluster.ModeAudit:
		return fmt.Errorf("unknown mode %q: use %s or %s", f.mode, cluster.ModeEnforce, cluster.ModeAudit)
	case f.hold != choiceAuto && f.hold != choiceOff:
		return fmt.Errorf("unknown choice --hold %q: use %s or %s", f.hold, choiceAuto, choiceOff)
	case f.nri != choiceAuto && f.nri != choiceOn && f.nri != choiceOff:
		return fmt.Errorf("unknown choice --nri %q: use %s, %s or %s", f.nri, choiceAuto, choiceOn, choiceOff)
	case f.sourceCheck != choiceAuto && f.sourceCheck != choiceOff:
		return fmt.Errorf("unknown choice --source-check %q: use %s or %s", f.sourceCheck, choiceAuto, choiceOff)
	case f.proxy != choiceAuto && f.proxy != choiceOff:
		return fmt.Errorf("unknown choice --proxy %q: use %s or %s", f.proxy, choiceAuto, choiceOff)
	case f.refusal != refusalRefused && f.refusal != refusalNXDomain:
		return fmt.Errorf("unknown choice --dns-refusal %q: use %s or %s", f.refusal, refusalRefused, refusalNXDomain)
	case f.nameGrace < 0:
		return fmt.Errorf("--name-grace %s: must not be negative", f.nameGrace)
	case f.logFormat != "text" && f.logFormat != "json":
		return fmt.Errorf("unknown log format %q: use text or json", f.logFormat)
	}
	return nil
}

// The choices of --hold, --source-check and --nri.
const (
	choiceAuto = "auto"
	choiceOff  = "off"
	choiceOn   = "on"
)

// The choices of --dns-refusal.
const (
	refusalRefused  = "refused"
	refusalNXDomain = "nxdomain"
)

// proxies has the agent open its proxies, and tells the tables of them.
func (f *agentFlags) proxies(options *agent.Options) nft.Proxy {
	if f.proxy == choiceOff {
		return nft.Proxy{}
	}
	options.Proxies = func(ctx context.Context, o proxy.Options) (io.Closer, error) {
		o.Dir, o.Grace, o.NXDomain = f.stateDir, f.nameGrace, f.refusal == refusalNXDomain
		return proxy.Open(ctx, o)
	}
	return proxy.Tables()
}

// prefixes reads --pod-cidr.
func (f *agentFlags) prefixes() ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range f.podCIDRs {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--pod-cidr %q: must be a CIDR, for example 10.244.1.0/24", text)
		}
		all = append(all, p)
	}
	return all, nil
}

func (f *agentFlags) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: f.logLevel}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if f.logFormat == "json" {
		handler = slog.NewJSONHandler(w, options)
	}
	log := slog.New(handler)
	klog.SetSlogLogger(log.With("from", "client-go"))
	return log
}

func (f *agentFlags) run(ctx context.Context, stderr io.Writer) (err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	log := f.logger(stderr)
	options := agent.Options{
		Node: f.node, Version: version(), Log: log,
		Audit: f.mode == cluster.ModeAudit, Look: neighbour.Kernel, Beside: f.beside, Hold: agent.Hold{Off: f.hold == choiceOff}, AnySource: f.sourceCheck == choiceOff,
	}
	if options.Hold.PodCIDRs, err = f.prefixes(); err != nil {
		return badInput(err)
	}
	options.Hold.Routes = func(ctx context.Context, tell func([]netip.Prefix)) error { return podroute.Watch(ctx, 0, tell) }
	if f.nri != choiceOff {
		options.Runtime = agent.Runtime{Socket: f.nriSocket, Required: f.nri == choiceOn}
	}
	if options.Failsafes, err = f.failsafes(); err != nil {
		return badInput(err)
	}
	var background []func(context.Context)
	if options.Source, err = f.source(log, &options, &background); err != nil {
		return badInput(err)
	}
	unlock, err := agent.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	tables, err := nft.New(nft.Options{ResetTCP: f.resetTCP, Guard: f.guard, AnySource: options.AnySource, Proxy: f.proxies(&options)})
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	defer tables.Close()
	connections, err := conntrack.Open(0)
	if err != nil {
		return fmt.Errorf("open conntrack: %w", err)
	}
	defer connections.Close()
	options.Dataplane, options.Connections, options.Check = tables, connections, tables.Check
	if denials, err := audit.Listen(0); err != nil {
		log.Warn("what audited policies would deny is not logged", "error", err)
	} else {
		options.Denials = denials
	}
	a := agent.New(options)
	stop, err := serve(f.listen, a.Handler(), log)
	if err != nil {
		return err
	}
	defer stop()
	for _, run := range background {
		go run(ctx)
	}
	log.Info("agent starts", "version", version(), "node", f.node, "source", options.Source.Status().Name, "guarded", tables.Guarded())
	err = a.Run(ctx)
	log.Info("agent ends; what is in force stays in force")
	return err
}

// lookupPatience is how long the start waits for the API server's addresses.
const lookupPatience = 5 * time.Second

// source chooses where the agent reads, and what runs beside it.
func (f *agentFlags) source(log *slog.Logger, options *agent.Options, background *[]func(context.Context)) (agent.Source, error) {
	if f.manifests != "" {
		return agent.FromManifests(f.manifests, log)
	}
	client, err := kube.Connect(f.kubeconfig, "bulkhead/"+version())
	if err != nil {
		return nil, err
	}
	ctx, done := context.WithTimeout(context.Background(), lookupPatience)
	defer done()
	if options.Keep, err = client.Addresses(ctx); err != nil {
		log.Warn("a policy on this node may cut the agent off its API server", "error", err)
	}
	events := kube.NewEvents(client, "bulkhead.dev/agent", f.node, log)
	options.Warn = events.Warn
	conditions := kube.NewConditions(client, "bulkhead.dev/agent", agent.Accepted, log)
	*background = append(*background, events.Run, conditions.Run)
	return agent.FromKube(client, f.node, conditions, log), nil
}

// serve answers HTTP until it is stopped.
func serve(address string, handler http.Handler, log *slog.Logger) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w: choose another address with --listen", address, err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	go server.Serve(listener)
	log.Info("listening", "address", listener.Addr().String())
	return func() { server.Close() }, nil
}
