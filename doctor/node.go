package doctor

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/neighbour"
)

// Node looks at the network namespace that the caller runs in, as one of a node.
// The folder is where its CNI configuration is.
func Node(ctx context.Context, cniDir string) Report {
	var r Report
	ours := r.tables(ctx)
	theirs := r.neighbours(cniDir)
	if !ours && !theirs {
		r.add("enforcement", Bad, "nobody enforces policies on this node: here every NetworkPolicy is without effect",
			"start bulkhead agent, with --mode audit to see first what it would deny")
	}
	return r
}

// healthy are what to say where nft.Check finds no problem of a name.
var healthy = []struct{ name, text string }{
	{"nftables", "the kernel takes Bulkhead's tables"},
	{"conntrack", "connections are tracked, and there is room for more"},
	{"bridge", "pods do not reach each other past the policies over a bridge"},
	{"ipvs", "services are not translated by IPVS"},
}

// tables looks at what our tables need and at whether they are in force; true:
// they are, or that is unknown.
func (r *Report) tables(ctx context.Context) bool {
	const check = "Bulkhead"
	tables, err := nft.New(nft.Options{})
	if err != nil {
		r.add(check, Unknown, err.Error(), "")
		return true
	}
	defer tables.Close()
	r.problems(tables.Check(ctx))
	switch live, err := tables.Live(ctx); {
	case errors.Is(err, nft.ErrNoTable):
		r.add(check, Note, "is not in force here: the kernel has no table inet "+nft.TableName, "")
		return false
	case errors.Is(err, unix.EPERM):
		r.add(check, Unknown, err.Error(), "run this as root, or with CAP_NET_ADMIN")
	case err != nil:
		r.add(check, Bad, "its table is in force but not as it should be: "+err.Error(), "start bulkhead agent, which puts it right")
	default:
		r.add(check, Fine, fmt.Sprintf("is in force for node %s: %d addresses of local pods under policies, %d peer addresses",
			live.Node, len(live.Local), len(live.Addrs)), "")
	}
	return true
}

func (r *Report) problems(problems []nft.Problem, err error) {
	if err != nil {
		r.add("node", Unknown, err.Error(), "")
		return
	}
	found := map[string]bool{}
	for _, p := range problems {
		found[p.Name] = true
		grade := Note
		if p.Fatal {
			grade = Bad
		}
		r.add(p.Name, grade, p.Text, "")
	}
	for _, h := range healthy {
		if !found[h.name] {
			r.add(h.name, Fine, h.text, "")
		}
	}
}

// neighbours tells whether another engine enforces here; true: one does, or that
// is unknown.
func (r *Report) neighbours(cniDir string) bool {
	const check = "other engines"
	evidence, err := neighbour.Kernel()
	plugins, cniErr := neighbour.CNI(cniDir)
	evidence.Add(plugins)
	engines := neighbour.Recognise(evidence)
	enforces := false
	for _, e := range engines {
		r.engine(check, e)
		enforces = enforces || e.InKernel
	}
	if err := errors.Join(err, cniErr); err != nil {
		r.add(check, Unknown, err.Error(), "")
		return true
	}
	if len(engines) == 0 {
		r.add(check, Fine, "none is on this node", "")
	}
	return enforces
}

func (r *Report) engine(check string, e neighbour.Engine) {
	if e.InKernel {
		r.add(check, Bad, e.String()+" filters on this node, or left its rules behind: what either engine denies is denied",
			"remove its policy engine and what it left in the kernel (a reboot does), or run Bulkhead with --mode audit beside it")
		return
	}
	r.add(check, Note, e.String()+" is configured on this node but has nothing in its kernel", "")
}
