package plan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// The tests' addresses are few, so that random tables meet random packets.
func randomAddr(r *rand.Rand) netip.Addr {
	if r.IntN(3) == 0 {
		return netip.MustParseAddr(fmt.Sprintf("fd00::%x", r.IntN(16)))
	}
	return netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", r.IntN(16)))
}

var protocols = []traffic.Protocol{traffic.TCP, traffic.UDP, traffic.ICMP}

const groups = 6

func randomPeer(r *rand.Rand) PeerID { return PeerID(1 + r.IntN(groups)) }

func verdictOf(n int) traffic.Verdict {
	if n == 0 {
		return traffic.Allow
	}
	return traffic.Deny
}

// randomPlan is a plan that keeps the rules that Parse checks.
func randomPlan(r *rand.Rand) *Plan {
	p := New("node-a")
	for id := PeerID(1); id <= groups; id++ {
		p.Peers[id] = []string{fmt.Sprintf("pods {app=%d}", id), "net 10.0.0.0/8"}[:r.IntN(3)]
		if id > 2 && r.IntN(2) == 0 {
			p.Wider[id] = PeerID(1 + r.IntN(2))
		}
	}
	for range r.IntN(12) {
		p.Addrs[randomAddr(r)] = randomPeer(r)
	}
	for last := byte(0); last < 12; {
		first := last + byte(1+r.IntN(4))
		last = first + byte(r.IntN(4))
		p.Ranges[Range{netip.AddrFrom4([4]byte{10, 0, 0, first}), netip.AddrFrom4([4]byte{10, 0, 0, last})}] = randomPeer(r)
	}
	p.Ranges[Range{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::8")}] = randomPeer(r)
	randomHeld(r, p)
	classes := 1 + r.IntN(4)
	for id := ClassID(1); id <= ClassID(classes); id++ {
		p.Classes[id] = randomClass(r, id)
	}
	for range 10 + r.IntN(30) {
		p.Local[randomAddr(r)] = Local{Egress: ClassID(r.IntN(classes + 1)), Ingress: ClassID(r.IntN(classes + 1))}
	}
	return p
}

// randomHeld holds two short ranges in some plans, with room between them.
func randomHeld(r *rand.Rand, p *Plan) {
	if r.IntN(2) == 0 {
		return
	}
	first := byte(r.IntN(6))
	p.Held[Range{netip.AddrFrom4([4]byte{10, 0, 0, first}), netip.AddrFrom4([4]byte{10, 0, 0, first + 2})}] = struct{}{}
	p.Held[Range{netip.AddrFrom4([4]byte{10, 0, 0, first + 4}), netip.AddrFrom4([4]byte{10, 0, 0, first + 4})}] = struct{}{}
	if r.IntN(2) == 0 {
		p.Held[Range{netip.MustParseAddr("fd00::4"), netip.MustParseAddr("fd00::7")}] = struct{}{}
	}
	for range r.IntN(12) {
		p.Known[randomAddr(r)] = struct{}{}
	}
}

func randomClass(r *rand.Rand, id ClassID) *Class {
	c := &Class{
		Direction: traffic.Direction(1 + id%2), Default: verdictOf(r.IntN(3)),
		Policies: []string{"shop/a", "shop/b"}[:r.IntN(3)], Rows: map[Row]traffic.Verdict{},
	}
	for peer := PeerID(0); peer <= groups; peer++ {
		head := Row{Peer: peer, AnyPeer: peer == 0}
		if r.IntN(4) == 0 {
			c.Rows[head] = verdictOf(r.IntN(2))
		}
		for _, protocol := range protocols {
			for port := 0; r.IntN(2) == 0; {
				row := head
				row.Protocol, row.From = protocol, uint16(port+r.IntN(4))
				row.To = row.From + uint16(r.IntN(4))
				port = int(row.To) + 1
				c.Rows[row] = verdictOf(r.IntN(2))
			}
		}
	}
	return c
}

func randomPacket(r *rand.Rand) Packet {
	return Packet{
		From: randomAddr(r), To: randomAddr(r),
		Protocol: protocols[r.IntN(len(protocols))], Port: uint16(r.IntN(12)), FromNode: r.IntN(20) == 0, ToNode: r.IntN(20) == 0,
	}
}

// source is random numbers that are the same in every run.
func source(n int) *rand.Rand { return rand.New(rand.NewPCG(7, uint64(n))) }

// change is a plan with a few differences from another.
func change(t testing.TB, p *Plan, r *rand.Rand) *Plan {
	t.Helper()
	b, err := Parse(Text(p))
	if err != nil {
		t.Fatal(err)
	}
	other := randomPlan(r)
	for range 1 + r.IntN(2) {
		addr := randomAddr(r)
		switch r.IntN(8) {
		case 0, 1:
			b.Addrs[addr] = randomPeer(r)
		case 2:
			delete(b.Addrs, addr)
		case 3:
			b.Local[addr] = Local{Egress: ClassID(r.IntN(len(b.Classes) + 1)), Ingress: ClassID(r.IntN(len(b.Classes) + 1))}
		case 4:
			for id := range other.Classes {
				b.Classes[id] = other.Classes[id]
			}
		case 5:
			b.Ranges = other.Ranges
		case 6:
			delete(b.Known, addr)
		case 7:
			b.Held = other.Held
		}
	}
	return b
}
