package kube

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
)

// Addresses are where the API server is reached: those of its URL's name, as they
// are now.
func (c *Client) Addresses(ctx context.Context) ([]netip.AddrPort, error) {
	u, err := url.Parse(c.Host)
	if err != nil {
		return nil, fmt.Errorf("read the API server's URL: %w", err)
	}
	port := map[string]uint16{"https": 443, "http": 80}[u.Scheme]
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("read the API server's port: %w", err)
		}
		port = uint16(n)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil, fmt.Errorf("find the API server's addresses: %w", err)
	}
	found := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		found[i] = netip.AddrPortFrom(a.Unmap(), port)
	}
	return found, nil
}
