package compile

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// Two pods of this node, or one and somebody else, may claim an address. Nobody
// gets more by it than both may, and it is told who they are.
func TestAnAddressOfSeveral(t *testing.T) {
	const addr = "10.0.1.1"
	db, thief := podOf("db", "db", addr), podOf("thief", "open", addr)
	far := podOf("far", "open", addr)
	far.Node = "elsewhere"
	steps := []struct {
		why    string
		change func(*Compiler)
		claim  string
		open   bool // for anybody
	}{
		{"one has it", func(*Compiler) {}, "", false},
		{"a second that is open", func(c *Compiler) { c.SetPod(thief) }, "[shop/db shop/thief] []", false},
		{"a third of another node", func(c *Compiler) { c.SetPod(far) }, "[shop/db shop/far shop/thief] []", false},
		{"a node", func(c *Compiler) {
			c.DeletePod(far.Name)
			c.SetNode(&cluster.Node{Name: "other", Addrs: db.Addrs})
		}, "[shop/db shop/thief] [other]", false},
		{"the open one and the node", func(c *Compiler) { c.DeletePod(db.Name) }, "[shop/thief] [other]", true},
		{"the open one", func(c *Compiler) { c.DeleteNode("other") }, "[] []", true},
		{"no pod of this node", func(c *Compiler) { c.SetPod(far); c.DeletePod(thief.Name) }, "", true},
	}
	c := compilerOf([]*cluster.Pod{db}, allowing("db", "db", from("web")))
	if news := c.Shared(); len(news) != 0 {
		t.Errorf("shared %v, and one has it", news)
	}
	for _, step := range steps {
		step.change(c)
		c.Commit()
		if got := reaches(c.Plan(), "10.0.2.9", addr); got != step.open {
			t.Errorf("%s: open %v, want %v", step.why, got, step.open)
		}
		told := ""
		for a, claim := range c.Shared() {
			if a == netip.MustParseAddr(addr) {
				told = fmt.Sprintf("%v %v", claim.Pods, claim.Nodes)
			}
		}
		if told != step.claim {
			t.Errorf("%s: told %q, want %q", step.why, told, step.claim)
		}
		if again := c.Shared(); len(again) != 0 {
			t.Errorf("%s: told twice", step.why)
		}
	}
}
