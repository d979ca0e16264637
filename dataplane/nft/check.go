package nft

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	rtnetlink "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Problem is something about the node that keeps policies from being enforced,
// or may.
type Problem struct {
	// Name is a short fixed name: nftables, conntrack, bridge or ipvs.
	Name string
	// Fatal: policies are not enforced, wholly or in part. Otherwise they are,
	// but somebody should know.
	Fatal bool
	// Text says what is wrong and what to do.
	Text string
}

// String is "name: text".
func (p Problem) String() string { return p.Name + ": " + p.Text }

// Check looks for what is missing on the node, or in the way. It changes
// nothing.
func (d *Dataplane) Check(ctx context.Context) ([]Problem, error) {
	var problems []Problem
	for _, check := range []func(context.Context) ([]Problem, error){
		d.checkKernel, d.checkConntrack, d.checkBridges, d.checkIPVS,
	} {
		found, err := check(ctx)
		if err != nil {
			return nil, err
		}
		problems = append(problems, found...)
	}
	return problems, nil
}

// checkTable is a table that never comes to exist: the kernel checks a
// transaction that does not end, and then forgets it.
const checkTable = "bulkhead_check"

// checkKernel tries a table with everything in it, and only if that fails each
// thing by itself, to say what it is.
func (d *Dataplane) checkKernel(ctx context.Context) ([]Problem, error) {
	release, err := kernelRelease()
	if err != nil {
		return nil, err
	}
	if older(release, 5, 10) {
		return []Problem{{"nftables", true, fmt.Sprintf(
			"the kernel is Linux %s; it forgets the comments by which tables are taken over, so 5.10 or later is needed", release)}}, nil
	}
	all, err := render(samplePlan(), d.options)
	if err != nil {
		return nil, err
	}
	refused := d.try(ctx, all)
	switch {
	case refused == nil:
		return nil, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(refused, unix.EPERM):
		return []Problem{{"nftables", true, "may not change nftables: the process needs the capability NET_ADMIN"}}, nil
	}
	var problems []Problem
	for _, f := range d.features() {
		r := newRuleset()
		if err := f.add(r); err != nil {
			return nil, err
		}
		if err := d.try(ctx, r); err != nil {
			problems = append(problems, Problem{"nftables", true, fmt.Sprintf("the kernel does not take %s (%v); %s", f.what, err, f.fix)})
		}
	}
	if len(problems) == 0 {
		problems = append(problems, Problem{"nftables", true, fmt.Sprintf("the kernel does not take the tables (%v)", refused)})
	}
	return problems, nil
}

func kernelRelease() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("read kernel release: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// older tells whether a release such as "5.10.0-28-amd64" is before another. One
// that does not begin with two numbers is not.
func older(release string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n < 2 {
		return false
	}
	return a < major || a == major && b < minor
}

// try asks whether the kernel would take a table.
func (d *Dataplane) try(ctx context.Context, r *ruleset) error {
	conn, err := dial(d.netns.FD())
	if err != nil {
		return err
	}
	defer conn.Close()
	t := transaction{table: checkTable}
	t.change(newRuleset(), r)
	return commit(ctx, conn, &t, false)
}

type feature struct {
	what, fix string
	add       func(*ruleset) error
}

// features are those of nftables that not every kernel has, with the release
// that brought them.
func (d *Dataplane) features() []feature {
	rule := func(e ...expr.Any) func(*ruleset) error {
		return func(r *ruleset) error {
			return r.addChain("c", "", baseHook(unix.NF_INET_PRE_ROUTING), text{exprs: e})
		}
	}
	set := func(typ setType) func(*ruleset) error {
		return func(r *ruleset) error {
			r.addSet("s", typ, "")
			return nil
		}
	}
	all := []feature{
		{"a table of the inet family", "it needs CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET", func(*ruleset) error { return nil }},
		{"conntrack labels in rules", "it needs CONFIG_NFT_CT and CONFIG_NF_CONNTRACK_LABELS", rule(exprs(hasLabel(0), setLabel(0))...)},
		{"address types in rules", "it needs CONFIG_NFT_FIB_INET", rule(toLocal()...)},
		{"maps of addresses", "it needs CONFIG_NF_TABLES as of Linux 4.18", set(setOf(families[0].addr).mapTo(nftables.TypeClassID))},
		{"sets of port ranges", "it needs Linux 5.6 or later", set(kindTypes[kindRanges])},
	}
	if d.options.ResetTCP {
		all = append(all, feature{"resets in prerouting", "it needs Linux 5.9 and CONFIG_NFT_REJECT_INET, or dropping without an answer",
			rule(append(isProtocol(unix.IPPROTO_TCP), &expr.Reject{Type: unix.NFT_REJECT_TCP_RST})...)})
	}
	if d.options.Proxy != (Proxy{}) {
		all = append(all, feature{"transparent proxies", "it needs Linux 4.19 and CONFIG_NFT_TPROXY, or no HTTP and DNS rules",
			rule(d.options.Proxy.take(families[0], 1)...)})
	}
	return all
}

// samplePlan has a row of every kind.
func samplePlan() *plan.Plan {
	p := plan.New("check")
	rows := map[plan.Row]traffic.Verdict{{Peer: 1}: traffic.Allow, {AnyPeer: true}: traffic.Allow}
	for _, row := range []plan.Row{{Peer: 1}, {AnyPeer: true}} {
		row.Protocol = traffic.TCP
		for i, ports := range [][2]uint16{{0, 65535}, {1, 1}, {2, 3}} {
			row.From, row.To = ports[0], ports[1]
			rows[row] = verdicts[i%len(verdicts)]
		}
	}
	p.Classes[1] = &plan.Class{Direction: traffic.Ingress, Rows: rows, Policies: []string{"check"}}
	p.Peers[1], p.Wider[1] = []string{"check"}, 2
	for _, s := range []string{"192.0.2.1", "2001:db8::1"} {
		addr := netip.MustParseAddr(s)
		p.Addrs[addr], p.Local[addr] = 1, plan.Local{Ingress: 1}
		p.Ranges[plan.Range{First: addr, Last: addr.Next()}] = 2
	}
	return p
}

// setting reads a kernel setting of the namespace; known is false if the kernel
// does not have it.
func (d *Dataplane) setting(path string) (value string, known bool, err error) {
	var content []byte
	err = d.netns.Do(func() error {
		content, err = os.ReadFile(path)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read kernel setting: %w", err)
	}
	return strings.TrimSpace(string(content)), true, nil
}

// checkConntrack warns of a full table: the kernel drops what it cannot track.
func (d *Dataplane) checkConntrack(context.Context) ([]Problem, error) {
	const folder = "/proc/sys/net/netfilter/"
	count, known, err := d.setting(folder + "nf_conntrack_count")
	if err != nil {
		return nil, err
	}
	if !known {
		return []Problem{{"conntrack", true, "the kernel does not track connections; load its module (modprobe nf_conntrack)"}}, nil
	}
	limit, known, err := d.setting(folder + "nf_conntrack_max")
	if err != nil || !known {
		return nil, err // user namespaces do not see the limit
	}
	have, haveErr := strconv.Atoi(count)
	most, mostErr := strconv.Atoi(limit)
	if err := errors.Join(haveErr, mostErr); err != nil {
		return nil, fmt.Errorf("read kernel setting: %w", err)
	}
	if most > 0 && have > most/10*9 {
		return []Problem{{"conntrack", false, fmt.Sprintf(
			"%d of at most %d connections are tracked; the kernel drops new ones when the table is full (raise net.netfilter.nf_conntrack_max)", have, most)}}, nil
	}
	return nil, nil
}

// checkBridges looks for bridges whose ports reach each other past the IP hooks.
func (d *Dataplane) checkBridges(context.Context) ([]Problem, error) {
	names, err := d.bridgesWithPorts()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	var problems []Problem
	for _, s := range []string{"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"} {
		value, known, err := d.setting("/proc/sys/net/bridge/" + s)
		if err != nil {
			return nil, err
		}
		if value == "1" {
			continue
		}
		fix := "set net.bridge." + s + "=1"
		if !known {
			fix = "load the module br_netfilter and " + fix
		}
		problems = append(problems, Problem{"bridge", true, fmt.Sprintf(
			"pods on the same bridge (%s) reach each other past all policies; %s", strings.Join(names, ", "), fix)})
	}
	return problems, nil
}

func (d *Dataplane) bridgesWithPorts() ([]string, error) {
	links, err := rtnetlink.NewHandleAt(d.netns.NsHandle(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open route socket: %w", err)
	}
	defer links.Close()
	list, err := links.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list network devices: %w", err)
	}
	ports := map[int]int{}
	for _, l := range list {
		ports[l.Attrs().MasterIndex]++
	}
	var names []string
	for _, l := range list {
		if l.Type() == "bridge" && ports[l.Attrs().Index] > 0 {
			names = append(names, l.Attrs().Name)
		}
	}
	return names, nil
}

// checkIPVS looks for services that are translated behind our hook.
func (d *Dataplane) checkIPVS(context.Context) ([]Problem, error) {
	const heading = 3 // lines
	services, known, err := d.setting("/proc/thread-self/net/ip_vs")
	if err != nil || !known || strings.Count(services, "\n") < heading {
		return nil, err
	}
	return []Problem{{"ipvs", true, "kube-proxy translates services with IPVS, after the place where policies are judged, " +
		"so that connections to services are judged by the service's address; use its nftables or iptables mode"}}, nil
}
