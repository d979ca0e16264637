package compile

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/plan"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

// A pod that nobody knows yet is shut off, and from its first moment in the
// cluster on it is what its policies make of it.
func TestAPodIsHeldUntilItIsKnown(t *testing.T) {
	web := podOf("web", "web", "10.0.2.1")
	c := compilerOf([]*cluster.Pod{web}, allowing("db", "db", from("web")))
	c.Hold(prefixes("10.0.1.0/24"))
	steps := []struct {
		why        string
		change     func()
		web, other bool
	}{
		{"nobody knows it", func() {}, false, false},
		{"it is known", func() { c.SetPod(podOf("db", "db", "10.0.1.1")) }, true, false},
		{"its policy is gone, another is there", func() { c.DeletePolicy(allowing("db", "db").Ref); c.SetPolicy(allowing("x", "x")) }, true, true},
		{"it is gone", func() { c.DeletePod(podOf("db", "", "10.0.1.1").Name) }, false, false},
		{"there is no policy", func() { c.DeletePolicy(allowing("x", "x").Ref) }, true, true},
		{"there is one again", func() { c.SetPolicy(allowing("x", "x")) }, false, false},
		{"other addresses are held", func() { c.Hold(prefixes("10.0.3.0/24")) }, true, true},
	}
	for _, step := range steps {
		step.change()
		c.Commit()
		if got := reaches(c.Plan(), "10.0.2.1", "10.0.1.1"); got != step.web {
			t.Errorf("%s: web reaches it: %v", step.why, got)
		}
		if got := reaches(c.Plan(), "10.0.2.9", "10.0.1.1"); got != step.other {
			t.Errorf("%s: another reaches it: %v", step.why, got)
		}
	}
}

func TestWhatIsHeldIsWritten(t *testing.T) {
	node := &cluster.Node{Name: "other", Addrs: []netip.Addr{netip.MustParseAddr("10.0.1.200")}}
	for _, row := range []struct {
		why  string
		hold string
		want string
	}{
		{"nothing", "", ""},
		{"a range and who is in it, pods and nodes", "10.0.1.0/24", "held 10.0.1.0-10.0.1.255\nknown 10.0.1.1\nknown 10.0.1.200\n"},
		{"a pod of another node, where ranges are not what they seem", "10.0.2.0/30", "held 10.0.2.0-10.0.2.3\nknown 10.0.2.1\n"},
		{"one in another counts once", "10.0.1.1/32 10.0.1.0/25 10.0.1.0/26", "held 10.0.1.0-10.0.1.127\nknown 10.0.1.1\n"},
		{"host bits do not count", "10.0.9.9/24", "held 10.0.9.0-10.0.9.255\n"},
		{"neighbours stay apart", "10.0.9.0/32 10.0.9.1/32", "held 10.0.9.0-10.0.9.0\nheld 10.0.9.1-10.0.9.1\n"},
		{"IPv6", "fd00::/127", "held fd00::-fd00::1\n"},
		{"all of both families", "::/0 0.0.0.0/0", "held 0.0.0.0-255.255.255.255\nheld ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n" +
			"known 10.0.1.1\nknown 10.0.1.200\nknown 10.0.2.1\n"},
	} {
		c := compilerOf([]*cluster.Pod{podOf("db", "db", "10.0.1.1"), podOf("web", "web", "10.0.2.1")}, allowing("x", "x"))
		c.SetNode(node)
		c.Hold(prefixes(strings.Fields(row.hold)...))
		c.Commit()
		var got strings.Builder
		for line := range strings.Lines(plan.Text(c.Plan())) {
			if strings.HasPrefix(line, "held") || strings.HasPrefix(line, "known") {
				got.WriteString(line)
			}
		}
		if got.String() != row.want {
			t.Errorf("%s: got\n%swant\n%s", row.why, got.String(), row.want)
		}
	}
}

func TestAnAuditHoldsNothing(t *testing.T) {
	c := New(thisNode)
	c.Audit()
	c.SetPolicy(allowing("x", "x"))
	c.Hold(prefixes("10.0.1.0/24"))
	if d := c.Commit(); len(d.Held) > 0 {
		t.Errorf("an audit holds\n%s", d.Text())
	}
}

// A pod that starts costs its own entries, however many are held and known.
func TestAStartIsOneEntryMore(t *testing.T) {
	c := compilerOf(nil, allowing("x", "x"))
	c.Hold(prefixes("10.0.1.0/24"))
	for n := range 200 {
		c.SetPod(podOf(fmt.Sprint(n), "web", fmt.Sprintf("10.0.1.%d", n)))
	}
	c.Commit()
	c.SetPod(podOf("new", "web", "10.0.1.250"))
	if d := c.Commit(); d.Text() != "+ known 10.0.1.250\n" {
		t.Errorf("a pod that no policy selects changes\n%s", d.Text())
	}
}
