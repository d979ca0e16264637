package nft

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Policies on hosts have base chains of their own, which are there only if the
// plan has doors: where the node takes packets in, passes them on and sends them,
// behind translation; and before it, if policies are asked there. What they allow
// carries a label of its own, for a connection may be allowed by a pod's policies
// and not by the host's.

// Where they stand. Behind our other chains in output; before translation in
// front of -100, and behind conntrack at -200.
const (
	priorityHostOutput = HookPriority + 10
	priorityBefore     = -150
)

// Names of their chains and sets. The chains that lead to the classes of each
// place are named after it, those for replies with suffixReply.
const (
	chainHostInput     = "host_input"
	chainHostOutput    = "host_output"
	chainHostForward   = "host_forward"
	chainHostBefore    = "host_before"
	chainHostBeforeOut = "host_before_out"
	chainHostFromPod   = "host_from_pod"
	chainHostPassed    = "host_passed_on"
	suffixTurned       = "_turned"

	setOwn   = "own_pods"
	setHosts = "hosts"
)

// hostPlace is one of the classes of a plan.Host.
type hostPlace struct {
	chain     string
	class     func(plan.Host) plan.ClassID
	direction traffic.Direction
	key       expr.MetaKey // the device of a request
	own       side         // the node's own end of a request; nil: there is none
	early     bool
}

var (
	placeInput     = hostPlace{"host_take_in", func(h plan.Host) plan.ClassID { return h.Input }, traffic.Ingress, expr.MetaKeyIIFNAME, receiver, false}
	placeOutput    = hostPlace{"host_send", func(h plan.Host) plan.ClassID { return h.Output }, traffic.Egress, expr.MetaKeyOIFNAME, sender, false}
	placeEnter     = hostPlace{"host_enter", func(h plan.Host) plan.ClassID { return h.Enter }, traffic.Ingress, expr.MetaKeyIIFNAME, nil, false}
	placeLeave     = hostPlace{"host_leave", func(h plan.Host) plan.ClassID { return h.Leave }, traffic.Egress, expr.MetaKeyOIFNAME, nil, false}
	placeRefuseIn  = hostPlace{"host_refuse_in", func(h plan.Host) plan.ClassID { return h.RefuseIn }, traffic.Ingress, expr.MetaKeyIIFNAME, receiver, true}
	placeGrantIn   = hostPlace{"host_grant_in", func(h plan.Host) plan.ClassID { return h.GrantIn }, traffic.Ingress, expr.MetaKeyIIFNAME, receiver, true}
	placeRefuseOut = hostPlace{"host_refuse_out", func(h plan.Host) plan.ClassID { return h.RefuseOut }, traffic.Egress, expr.MetaKeyOIFNAME, sender, true}
	placeGrantOut  = hostPlace{"host_grant_out", func(h plan.Host) plan.ClassID { return h.GrantOut }, traffic.Egress, expr.MetaKeyOIFNAME, sender, true}
)

// hostTables are what of a plan the chains of hosts are made of.
type hostTables struct {
	hosts map[plan.Door]plan.Host
	own   map[netip.Prefix]struct{}
	keep  map[netip.AddrPort]struct{}
}

func hostsOf(p *plan.Plan) hostTables { return hostTables{p.Hosts, p.Own, p.Keep} }

// before is what they were before a diff that they have in them.
func (t hostTables) before(d plan.Diff) hostTables {
	return hostTables{undone(t.hosts, d.Hosts), undone(t.own, d.Own), undone(t.keep, d.Keep)}
}

func undone[K comparable, V any](now map[K]V, edits map[K]plan.Edit[V]) map[K]V {
	if len(edits) == 0 {
		return now
	}
	was := maps.Clone(now)
	if was == nil {
		was = map[K]V{}
	}
	for k, e := range edits {
		delete(was, k)
		if e.Had {
			was[k] = e.Old
		}
	}
	return was
}

// addHosts adds the chains and sets of hosts; nothing if there are no doors.
func (r *ruleset) addHosts(t hostTables, p Proxy) error {
	if len(t.hosts) == 0 {
		return nil
	}
	r.addHostSets(t)
	for _, add := range []func(hostTables, Proxy) error{
		r.addHostPlaces, r.addHostInput, r.addHostOutput, r.addHostForward, r.addHostBefore,
	} {
		if err := add(t, p); err != nil {
			return err
		}
	}
	return nil
}

func (r *ruleset) addHostSets(t hostTables) {
	for _, f := range families {
		r.addSet(setOwn+f.suffix, setOf(f.addr).interval(), "pods of this node")
	}
	for prefix := range t.own {
		r.addSpan(setOwn, plan.Range{First: prefix.Masked().Addr(), Last: lastOf(prefix)}, "")
	}
	r.addSet(setHosts, setOf(nftables.TypeClassID), "what the rules for hosts are made of")
	for i, line := range t.lines() {
		r.addElement(setHosts, element{key: string(hostOrder(uint32(i + 1))), comment: line})
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	last := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < 8*len(last); bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	addr, _ := netip.AddrFromSlice(last)
	return addr
}

// lines are the tables in words, one class a line, for people and for Live: a
// comment is too short for all classes of a door.
func (t hostTables) lines() []string {
	var lines []string
	for _, d := range t.doors() {
		words := strings.Fields(t.hosts[d].String())
		if len(words) == 1 {
			lines = append(lines, "host "+d.String()+" "+words[0])
		}
		for i := 0; i+1 < len(words); i += 2 {
			lines = append(lines, fmt.Sprintf("host %s %s %s", d, words[i], words[i+1]))
		}
	}
	for _, to := range slices.SortedFunc(maps.Keys(t.keep), netip.AddrPort.Compare) {
		lines = append(lines, "keep "+to.String())
	}
	return lines
}

func (t hostTables) doors() []plan.Door {
	return slices.SortedFunc(maps.Keys(t.hosts), plan.Door.Compare)
}

// has tells whether any door asks a class at a place.
func (t hostTables) has(place hostPlace) bool {
	for _, h := range t.hosts {
		if place.class(h) != 0 {
			return true
		}
	}
	return false
}

// addHostPlaces adds the chains that lead from a device to the class of a place.
func (r *ruleset) addHostPlaces(t hostTables, _ Proxy) error {
	for _, place := range []hostPlace{placeInput, placeOutput, placeEnter, placeLeave, placeRefuseIn, placeGrantIn, placeRefuseOut, placeGrantOut} {
		if place.early && !t.has(place) {
			continue
		}
		if err := r.addChain(place.chain, "the class of the door", hook{}, t.dispatch(place, request, false)...); err != nil {
			return err
		}
		if place.early {
			continue
		}
		if err := r.addChain(place.chain+suffixReply, "the class of the door", hook{}, t.dispatch(place, reply, false)...); err != nil {
			return err
		}
	}
	if err := r.addChain(chainHostFromPod, "what pods of this node send to it", hook{}, t.dispatch(placeInput, request, true)...); err != nil {
		return err
	}
	return r.addChain(chainHostFromPod+suffixReply, "and its answers", hook{}, t.dispatch(placeInput, reply, true)...)
}

// dispatch goes to the class of the first door that fits, as plan.Plan.Trace
// finds it. A reply comes by the device by which its request went, and its ends
// are swapped.
func (t hostTables) dispatch(place hostPlace, w way, fromPod bool) []text {
	var rules []text
	for _, d := range t.doors() {
		anywhere := place.own == nil || place.early
		if fromPod && d.Device != plan.AllDevices || d.Device == "" && !d.Addr.IsValid() && !anywhere || place.own == nil && d.Addr.IsValid() {
			continue
		}
		match := t.matchDoor(d, place, w)
		id := place.class(t.hosts[d])
		if id == 0 {
			rules = append(rules, text{"", exprs(match, giveBack())})
			continue
		}
		rules = append(rules, text{d.String(), exprs(match, jumpTo(className(place.direction, id)+w.suffix))})
	}
	return rules
}

func (t hostTables) matchDoor(d plan.Door, place hostPlace, w way) []expr.Any {
	var match []expr.Any
	key, own := place.key, place.own
	if w.suffix != "" {
		key = map[expr.MetaKey]expr.MetaKey{expr.MetaKeyIIFNAME: expr.MetaKeyOIFNAME, expr.MetaKeyOIFNAME: expr.MetaKeyIIFNAME}[key]
	}
	if d.Device != "" && d.Device != plan.AllDevices {
		match = append(match, isDevice(key, d.Device)...)
	}
	if d.Addr.IsValid() && own != nil {
		f := familyOf(d.Addr.BitLen())
		offset := own(f)
		if w.suffix != "" {
			offset = f.source + f.dest - offset
		}
		match = exprs(match, isFamily(f), []expr.Any{loadAddr(f, offset, reg1), equals(reg1, d.Addr.AsSlice()...)})
	}
	return match
}

func isDevice(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{&expr.Meta{Key: key, Register: reg1}, equals(reg1, padded...)}
}

func isLoopback(key expr.MetaKey) []expr.Any { return isDevice(key, "lo") }

// hostHook is where a base chain of hosts stands.
func hostHook(number uint32, priority int32) hook {
	return hook{number: number, priority: priority, base: true, policy: nfAccept}
}

// hostPassed accepts what the host's policies are not asked of.
func hostPassed(loopback expr.MetaKey) []text {
	return []text{
		{"connections that hosts' policies allow", exprs(hasLabel(dataplane.LabelHost), accept())},
		{"the node and itself", exprs(isLoopback(loopback), accept())},
		{"only from this link", exprs(icmp6(setND, 255), accept())},
		{"only from this link", exprs(icmp6(setMLD, 1), accept())},
		{"a reset that a deny sends", exprs(isProtocol(unix.IPPROTO_TCP), hasState(stateRelated), hasFlag(flagRST), accept())},
		{"", exprs(hasState(stateRelated), jump(chainRelated))},
	}
}

// hostAllowed labels what came so far. Of replies their own requests' policies
// were asked.
func hostAllowed() []text {
	return []text{
		{"", clearPriority()},
		{"judged and allowed", setLabel(dataplane.LabelHost)},
	}
}

// hostReplies judges replies without a label, and lets no request's policies be
// asked of them.
func (r *ruleset) hostReplies(chain, to string) ([]text, error) {
	turned := chain + suffixTurned
	if err := r.addChain(turned, "replies, and what may be one that is taken for a request", hook{}, turnedTo(to)...); err != nil {
		return nil, err
	}
	return []text{
		{"", jump(turned)},
		{"a reply without a label was judged there", exprs(isReply(), clearPriority(), setLabel(dataplane.LabelHost), accept())},
	}, nil
}

// ofOwn is for packets one end of which is a pod of this node, notOfOwn for all
// others.
func ofOwn(end side, then ...[]expr.Any) []text {
	var rules []text
	for _, f := range families {
		rules = append(rules, text{"", exprs(isFamily(f), []expr.Any{loadAddr(f, end(f), reg1), inSet(setOwn + f.suffix)}, exprs(then...))})
	}
	return rules
}

func notOfOwn(end side, verdict []expr.Any) []text {
	var rules []text
	for _, f := range families {
		rules = append(rules, text{"", exprs(isFamily(f), []expr.Any{loadAddr(f, end(f), reg1), notInSet(setOwn + f.suffix)}, verdict)})
	}
	return rules
}

func (r *ruleset) addHostInput(t hostTables, _ Proxy) error {
	replies, err := r.hostReplies(chainHostInput, placeOutput.chain+suffixReply)
	if err != nil {
		return err
	}
	rules := hostPassed(expr.MetaKeyIIFNAME)
	rules = append(rules, toProxy()...)
	rules = append(rules, ofOwn(sender, isReply(), accept())...) // to its own pods the node may send everything
	rules = append(rules, t.kept(reply)...)
	rules = append(rules, replies...)
	rules = append(rules, ofOwn(sender, jump(chainHostFromPod))...)
	rules = append(rules, notOfOwn(sender, jump(placeInput.chain))...)
	rules = append(rules, hostAllowed()...)
	return r.addChain(chainHostInput, "what the node takes in", hostHook(unix.NF_INET_LOCAL_IN, HookPriority), rules...)
}

// toProxy is for what the proxy takes in, in the place of whoever it is for: it is
// asked what is asked of forwarded packets.
func toProxy() []text {
	var rules []text
	for _, label := range []int{dataplane.LabelHTTP, dataplane.LabelDNS} {
		rules = append(rules, text{"on its way to the proxy", exprs(hasLabel(label), jumpTo(chainHostPassed))})
	}
	return append(rules, text{"an answer to the proxy", exprs(hasLabel(dataplane.LabelProxy), accept())})
}

func (r *ruleset) addHostOutput(t hostTables, p Proxy) error {
	// Its replies are those of requests that came in, from pods or by a device.
	to := chainHostInput + suffixReply
	rules := append(ofOwn(receiver, jumpTo(chainHostFromPod+suffixReply)), text{"", jumpTo(placeInput.chain + suffixReply)})
	if err := r.addChain(to, "replies of the node", hook{}, rules...); err != nil {
		return err
	}
	replies, err := r.hostReplies(chainHostOutput, to)
	if err != nil {
		return err
	}
	rules = hostPassed(expr.MetaKeyOIFNAME)
	if p.Own != 0 {
		rules = append(rules, text{"the proxy, in a pod's name", exprs(hasMark(p.Own), jumpTo(chainHostPassed))})
	}
	for _, label := range []int{dataplane.LabelHTTP, dataplane.LabelDNS} {
		rules = append(rules, text{"the proxy's answer", exprs(hasLabel(label), accept())})
	}
	rules = append(rules, replies...)
	rules = append(rules, t.passOut()...)
	rules = append(rules, text{"", jump(placeOutput.chain)})
	rules = append(rules, hostAllowed()...)
	return r.addChain(chainHostOutput, "what the node sends, behind its pods' policies", hostHook(unix.NF_INET_LOCAL_OUT, priorityHostOutput), rules...)
}

// passOut accepts what the node sends to its own pods, and what it must reach
// whatever policies say.
func (t hostTables) passOut() []text {
	return append(ofOwn(receiver, accept()), t.kept(request)...)
}

// kept accepts what the node must reach, by the address that it really has and by
// the one before translation; or the answers, which may be of connections from
// before the tables.
func (t hostTables) kept(w way) []text {
	var rules []text
	for _, to := range slices.SortedFunc(maps.Keys(t.keep), netip.AddrPort.Compare) {
		f := familyOf(to.Addr().BitLen())
		port := binary.BigEndian.AppendUint16(nil, to.Port())
		note := "must be reached: " + to.String()
		offset, direction := f.dest, isOriginal()
		if w.suffix != "" {
			offset, direction = f.source, isReply()
		}
		rules = append(rules,
			text{note, exprs(isFamily(f), []expr.Any{loadAddr(f, offset, reg1), equals(reg1, to.Addr().AsSlice()...)},
				isProtocol(unix.IPPROTO_TCP), []expr.Any{w.port(reg1), equals(reg1, port...)}, direction, setLabel(dataplane.LabelHost), accept())},
			text{note, exprs(isFamily(f), isProtocol(unix.IPPROTO_TCP), []expr.Any{originalDest(f), equals(reg1, to.Addr().AsSlice()...)},
				[]expr.Any{originalPort(reg1), equals(reg1, port...)}, direction, setLabel(dataplane.LabelHost), accept())})
	}
	return rules
}

// addHostForward adds what is asked of packets that the node passes on: where they
// enter unless a pod of the node sent them, and where they leave unless one gets
// them.
func (r *ruleset) addHostForward(_ hostTables, _ Proxy) error {
	passed := notOfOwn(sender, jump(placeEnter.chain))
	passed = append(passed, notOfOwn(receiver, jump(placeLeave.chain))...)
	passed = append(passed, hostAllowed()...)
	if err := r.addChain(chainHostPassed, "what is asked of packets that are passed on", hook{}, passed...); err != nil {
		return err
	}
	to := chainHostPassed + suffixReply
	back := notOfOwn(receiver, jump(placeEnter.chain+suffixReply))
	back = append(back, notOfOwn(sender, jump(placeLeave.chain+suffixReply))...)
	if err := r.addChain(to, "and of their replies", hook{}, back...); err != nil {
		return err
	}
	replies, err := r.hostReplies(chainHostForward, to)
	if err != nil {
		return err
	}
	rules := append(hostPassed(expr.MetaKeyIIFNAME), replies...) // a bridge's neighbours find each other here
	rules = append(rules, text{"", jump(chainHostPassed)})
	return r.addChain(chainHostForward, "what the node passes on", hostHook(unix.NF_INET_FORWARD, HookPriority), rules...)
}

// addHostBefore adds what is asked before translation. What is granted there
// carries the label, and nothing more is asked.
func (r *ruleset) addHostBefore(t hostTables, _ Proxy) error {
	for _, b := range []struct {
		chain, comment string
		hook           uint32
		loopback       expr.MetaKey
		refuse, grant  hostPlace
		pass           []text
	}{
		{chainHostBefore, "what comes in, before translation", unix.NF_INET_PRE_ROUTING, expr.MetaKeyIIFNAME, placeRefuseIn, placeGrantIn, ofOwn(sender, accept())},
		{chainHostBeforeOut, "what the node sends, before translation", unix.NF_INET_LOCAL_OUT, expr.MetaKeyOIFNAME, placeRefuseOut, placeGrantOut, t.passOut()},
	} {
		if !t.has(b.refuse) && !t.has(b.grant) {
			continue
		}
		rules := append(hostPassed(b.loopback), text{"replies are judged behind translation", exprs(isReply(), accept())})
		rules = append(rules, b.pass...)
		for _, place := range []hostPlace{b.refuse, b.grant} {
			if t.has(place) {
				rules = append(rules, text{"", jump(place.chain)})
			}
		}
		rules = append(rules, text{"", clearPriority()})
		if err := r.addChain(b.chain, b.comment, hostHook(b.hook, priorityBefore), rules...); err != nil {
			return err
		}
	}
	return nil
}

// readHosts undoes addHostSets.
func (r *ruleset) readHosts(p *plan.Plan) error {
	for _, e := range r.elements(setHosts) {
		kind, rest, _ := strings.Cut(e.comment, " ")
		switch kind {
		case "host":
			d, h, err := plan.ParseHost(rest)
			if err != nil {
				return fmt.Errorf("set %s: %w", setHosts, err)
			}
			p.Hosts[d] = p.Hosts[d].With(h)
		case "keep":
			to, err := netip.ParseAddrPort(rest)
			if err != nil {
				return fmt.Errorf("set %s: %w", setHosts, err)
			}
			p.Keep[to] = struct{}{}
		default:
			return fmt.Errorf("set %s: %q is not ours", setHosts, e.comment)
		}
	}
	for _, f := range families {
		for span := range r.spans(f, setOwn) {
			prefix, err := prefixOf(span)
			if err != nil {
				return fmt.Errorf("set %s: %w", setOwn+f.suffix, err)
			}
			p.Own[prefix] = struct{}{}
		}
	}
	return nil
}

// prefixOf is the block that a span is.
func prefixOf(span plan.Range) (netip.Prefix, error) {
	for bits := range span.First.BitLen() + 1 {
		if p := netip.PrefixFrom(span.First, bits); p.Masked().Addr() == span.First && lastOf(p) == span.Last {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("%s is not one block", span)
}
