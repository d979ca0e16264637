package kube

import (
	"context"
	"net/netip"
	"slices"
	"testing"
)

func TestAddresses(t *testing.T) {
	for host, want := range map[string]string{
		"https://10.96.0.1:443": "10.96.0.1:443", "https://10.96.0.1": "10.96.0.1:443",
		"https://[fd00::1]:6443": "[fd00::1]:6443", "http://127.0.0.1": "127.0.0.1:80",
	} {
		got, err := (&Client{Host: host}).Addresses(context.Background())
		if err != nil || !slices.Equal(got, []netip.AddrPort{netip.MustParseAddrPort(want)}) {
			t.Errorf("%s: %v, %v, want %s", host, got, err, want)
		}
	}
	for _, host := range []string{"https://10.96.0.1:port", "https://"} {
		if got, err := (&Client{Host: host}).Addresses(context.Background()); err == nil {
			t.Errorf("%s: %v", host, got)
		}
	}
}
