package audit

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

func packet(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	v4 = "0a000001 0a000002"
	v6 = "fd000000000000000000000000000001 fd000000000000000000000000000002"
)

func TestReadPacket(t *testing.T) {
	for _, test := range []struct {
		name, packet string
		want         Denial
		ok           bool
	}{
		{"TCP", "45000028 00000000 40060000" + v4 + "9c401f90", Denial{Protocol: traffic.TCP, FromPort: 40000, ToPort: 8080}, true},
		{"with options", "46000028 00000000 40110000" + v4 + "01010101 9c400035", Denial{Protocol: traffic.UDP, FromPort: 40000, ToPort: 53}, true},
		{"ICMP", "4500001c 00000000 40010000" + v4 + "08000000", Denial{Protocol: traffic.ICMP}, true},
		{"a later fragment", "45000028 00000001 40110000" + v4 + "9c400035", Denial{Protocol: traffic.UDP}, true},
		{"a first fragment", "45000028 00002000 40110000" + v4 + "9c400035", Denial{Protocol: traffic.UDP, FromPort: 40000, ToPort: 53}, true},
		{"cut in the ports", "45000028 00000000 40060000" + v4 + "9c40", Denial{Protocol: traffic.TCP}, true},
		{"cut in the header", "45000028 00000000 40060000 0a000001", Denial{}, false},
		{"a header of no length", "41000028 00000000 40060000" + v4, Denial{}, false},
		{"a header longer than the packet", "4f000028 00000000 40060000" + v4, Denial{}, false},
		{"IPv6 TCP", "60000000 00140640" + v6 + "9c401f90 00000000", Denial{Protocol: traffic.TCP, FromPort: 40000, ToPort: 8080}, true},
		{"IPv6 with extensions", "60000000 00240040" + v6 + "2b00000000000000 1100000000000000 9c400035 00000000", Denial{Protocol: traffic.UDP, FromPort: 40000, ToPort: 53}, true},
		{"IPv6, a later fragment", "60000000 00242c40" + v6 + "1100000800000000 9c400035 00000000", Denial{Protocol: traffic.UDP}, true},
		{"IPv6, an endless extension", "60000000 00240040" + v6 + "00ff000000000000", Denial{Protocol: 0}, true},
		{"IPv6, cut", "60000000 00140640 fd00", Denial{}, false},
		{"nothing", "", Denial{}, false},
		{"neither", "00000000", Denial{}, false},
	} {
		var got Denial
		if ok := got.readPacket(packet(t, test.packet)); ok != test.ok {
			t.Errorf("%s: read %t, want %t", test.name, ok, test.ok)
			continue
		}
		if !test.ok {
			continue
		}
		test.want.From, test.want.To = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
		if strings.HasPrefix(test.name, "IPv6") {
			test.want.From, test.want.To = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
		}
		if got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

func FuzzReadPacket(f *testing.F) {
	for _, s := range []string{"45000028000000004006000" + "00a0000010a0000029c401f90", "6000000000240040"} {
		b, _ := hex.DecodeString(s)
		f.Add(b)
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		var d Denial
		d.readPacket(b) // no panic
	})
}
