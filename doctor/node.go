package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/conntrack"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/neighbour"
	"github.com/bulkhead-dev/bulkhead/plan"
)

// Node looks at the network namespace that the caller runs in, as one of a node.
// The folder is where its CNI configuration is.
func Node(ctx context.Context, cniDir string) Report {
	var r Report
	r.kernel(ctx)
	ours, theirs := r.ours(ctx), r.neighbours(cniDir)
	if !ours && !theirs {
		r.add("enforcement", Bad, "nobody enforces policies on this node: here every NetworkPolicy is without effect",
			"start bulkhead agent, with --mode audit to see first what it would deny")
	}
	r.bridges()
	r.ipvs()
	r.tracking()
	return r
}

// kernel puts an empty plan into a network namespace of its own: what the kernel
// takes there it takes here.
func (r *Report) kernel(ctx context.Context) {
	const check = "kernel"
	release := "Linux " + kernelRelease()
	switch err := tryTables(ctx); {
	case err == nil:
		r.add(check, Fine, release+" takes Bulkhead's table and tells of connections", "")
	case errors.Is(err, unix.EPERM):
		r.add(check, Unknown, "the kernel was not tried: "+err.Error(), "run this as root, or with CAP_NET_ADMIN and CAP_SYS_ADMIN")
	default:
		r.add(check, Bad, release+" does not take Bulkhead's table: "+err.Error(),
			"it needs nf_tables with inet tables, conntrack with labels and netlink, fib and reject: Linux 5.15 or newer as distributions build it")
	}
}

// tryTables works on a thread that ends with it, and takes the namespace along.
func tryTables(ctx context.Context) error {
	tried := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			tried <- fmt.Errorf("make network namespace: %w", err)
			return
		}
		tried <- tryTablesHere(ctx)
	}()
	return <-tried
}

func tryTablesHere(ctx context.Context) error {
	tables, err := nft.New(nft.Options{})
	if err != nil {
		return err
	}
	connections, err := conntrack.Open(0)
	if err != nil {
		return errors.Join(err, tables.Close())
	}
	err = tables.Apply(ctx, plan.New("doctor"))
	return errors.Join(err, connections.Close(), tables.Close())
}

func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}

// ours tells whether Bulkhead enforces here, by what the kernel has; true: it
// does, or that is unknown.
func (r *Report) ours(ctx context.Context) bool {
	const check = "Bulkhead"
	tables, err := nft.New(nft.Options{})
	if err != nil {
		r.add(check, Unknown, err.Error(), "")
		return true
	}
	defer tables.Close()
	switch live, err := tables.Live(ctx); {
	case errors.Is(err, nft.ErrNoTable):
		r.add(check, Note, "is not in force here: the kernel has no table inet "+nft.TableName, "")
		return false
	case errors.Is(err, unix.EPERM):
		r.add(check, Unknown, err.Error(), "run this as root, or with CAP_NET_ADMIN")
	case err != nil:
		r.add(check, Bad, "its table is in force but not as it should be: "+err.Error(), "start bulkhead agent, which puts it right")
	default:
		r.add(check, Fine, fmt.Sprintf("is in force for node %s: %d addresses of local pods under policies, %d peer addresses",
			live.Node, len(live.Local), len(live.Addrs)), "")
	}
	return true
}

// neighbours tells whether another engine enforces here; true: one does, or that
// is unknown.
func (r *Report) neighbours(cniDir string) bool {
	const check = "other engines"
	evidence, err := neighbour.Kernel()
	plugins, cniErr := neighbour.CNI(cniDir)
	evidence.Add(plugins)
	engines := neighbour.Recognise(evidence)
	enforces := false
	for _, e := range engines {
		r.engine(check, e)
		enforces = enforces || e.InKernel
	}
	if err := errors.Join(err, cniErr); err != nil {
		r.add(check, Unknown, err.Error(), "")
		return true
	}
	if len(engines) == 0 {
		r.add(check, Fine, "none is on this node", "")
	}
	return enforces
}

func (r *Report) engine(check string, e neighbour.Engine) {
	if e.InKernel {
		r.add(check, Bad, e.String()+" filters on this node, or left its rules behind: what either engine denies is denied",
			"remove its policy engine and what it left in the kernel (a reboot does), or run Bulkhead with --mode audit beside it")
		return
	}
	r.add(check, Note, e.String()+" is configured on this node but has nothing in its kernel", "")
}

// bridges: packets between pods on one Linux bridge pass the hooks only if the
// kernel is told so (net/bridge/br_netfilter_hooks.c).
func (r *Report) bridges() {
	const check = "bridges"
	links, err := netlink.LinkList()
	if err != nil {
		r.add(check, Unknown, "list network devices: "+err.Error(), "")
		return
	}
	var bridged []string
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, l := range links {
		if l.Type() == "veth" && l.Attrs().MasterIndex != 0 {
			bridged = append(bridged, names[l.Attrs().MasterIndex])
		}
	}
	if len(bridged) == 0 {
		r.add(check, Fine, "no pods hang on a Linux bridge", "")
		return
	}
	var off []string
	for _, name := range []string{"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"} {
		if value, err := os.ReadFile(filepath.Join("/proc/sys/net/bridge", name)); err != nil || strings.TrimSpace(string(value)) != "1" {
			off = append(off, name)
		}
	}
	if len(off) > 0 {
		r.add(check, Bad, fmt.Sprintf("pods on bridge %s reach each other past all policies: %s is not 1", bridged[0], strings.Join(off, " and ")),
			"modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1")
		return
	}
	r.add(check, Fine, fmt.Sprintf("packets between pods on bridge %s pass the policies", bridged[0]), "")
}

// ipvs translates services' addresses behind our hook.
func (r *Report) ipvs() {
	const check = "services"
	table, err := os.ReadFile("/proc/thread-self/net/ip_vs")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.add(check, Fine, "IPVS is not in use", "")
	case err != nil:
		r.add(check, Unknown, "read IPVS table: "+err.Error(), "")
	case strings.Count(string(table), "\n") > 3: // three lines of head
		r.add(check, Bad, "kube-proxy runs in IPVS mode, which finds a service's backend after policies are judged: egress to services is judged on the service's address",
			"run kube-proxy with --proxy-mode nftables or iptables; Kubernetes has deprecated IPVS")
	default:
		r.add(check, Fine, "IPVS is not in use", "")
	}
}

// tracking: when the connection table is full, new connections are dropped,
// allowed or not.
func (r *Report) tracking() {
	const check = "connections"
	count, err1 := number("/proc/sys/net/netfilter/nf_conntrack_count")
	most, err2 := number("/proc/sys/net/netfilter/nf_conntrack_max")
	if err := errors.Join(err1, err2); err != nil {
		r.add(check, Unknown, err.Error(), "")
		return
	}
	text := fmt.Sprintf("%d of %d that can be tracked", count, most)
	if most > 0 && count*10 > most*9 {
		r.add(check, Bad, text+": the kernel drops new connections when there is no room", "raise net.netfilter.nf_conntrack_max")
		return
	}
	r.add(check, Fine, text, "")
}

func number(path string) (int, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return n, nil
}
