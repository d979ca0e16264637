package neighbour

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
)

// Kernel is the evidence in the network namespace of the calling process. It
// returns what it found together with what it could not look at.
func Kernel() (Evidence, error) {
	var e Evidence
	var errs []error
	errs = append(errs, e.nft())
	legacy, err := legacyChains()
	e.Chains = append(e.Chains, legacy...)
	errs = append(errs, err)
	links, err := netlink.LinkList()
	if err != nil {
		errs = append(errs, fmt.Errorf("list network devices: %w", err))
	}
	for _, l := range links {
		e.Links = append(e.Links, l.Attrs().Name)
	}
	return e, errors.Join(errs...)
}

// nft reads names only: engines' sets may be large.
func (e *Evidence) nft() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		return fmt.Errorf("list nftables tables: %w", err)
	}
	for _, t := range tables {
		e.Tables = append(e.Tables, t.Name)
	}
	chains, err := conn.ListChains()
	if err != nil {
		return fmt.Errorf("list nftables chains: %w", err)
	}
	for _, c := range chains {
		e.Chains = append(e.Chains, c.Name)
	}
	return nil
}
