package transparent

import (
	"errors"
	"fmt"
	"net"

	rtnetlink "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Where our routing stands. The rule comes before the main table's (32766), and
// the table's number is one that no distribution names in rt_tables.
const (
	RouteTable   = 28647
	RulePriority = 28647
)

// Route has the node deliver packets with the mark to itself, whatever their
// destination. It is idempotent.
func (s Sockets) Route() error {
	return s.do(func() error {
		lo, err := rtnetlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("find the loopback device: %w", err)
		}
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			route := toItself(family)
			route.LinkIndex = lo.Attrs().Index
			if err := rtnetlink.RouteReplace(route); err != nil {
				return fmt.Errorf("route marked packets to the node: %w", err)
			}
			if err := rtnetlink.RuleAdd(s.rule(family)); err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("add routing rule for marked packets: %w", err)
			}
		}
		return nil
	})
}

// Unroute undoes Route, also where only half of it is there.
func (s Sockets) Unroute() error {
	return s.do(func() (failed error) {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			if err := rtnetlink.RuleDel(s.rule(family)); err != nil && !absent(err) {
				failed = errors.Join(failed, fmt.Errorf("delete routing rule for marked packets: %w", err))
			}
			if err := rtnetlink.RouteDel(toItself(family)); err != nil && !absent(err) {
				failed = errors.Join(failed, fmt.Errorf("delete route of marked packets: %w", err))
			}
		}
		return failed
	})
}

func absent(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) }

func toItself(family int) *rtnetlink.Route {
	everything := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	if family == unix.AF_INET6 {
		everything = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	return &rtnetlink.Route{Family: family, Table: RouteTable, Type: unix.RTN_LOCAL, Scope: rtnetlink.SCOPE_HOST, Dst: everything}
}

func (s Sockets) rule(family int) *rtnetlink.Rule {
	rule := rtnetlink.NewRule()
	rule.Family, rule.Table, rule.Priority = family, RouteTable, RulePriority
	rule.Mark, rule.Mask = s.Divert, &s.Divert
	return rule
}
