package nft

import (
	"context"

	"github.com/bulkhead-dev/bulkhead/dataplane"
)

var _ dataplane.Doubter = (*Dataplane)(nil)

// addTrusted adds the chain for packets of connections that were judged and are
// allowed. While they are in doubt it is empty, and they go on to be judged.
func (r *ruleset) addTrusted(doubt bool) error {
	var rules []text
	if !doubt {
		rules = append(rules, text{"", accept()})
	}
	return r.addChain(chainTrusted, "connections that were judged and are allowed; empty while that is in doubt", hook{}, rules...)
}

// trusted leads connections that carry the label to their chain.
func trusted() text { return text{"", exprs(hasLabel(dataplane.LabelAllowed), jump(chainTrusted))} }

// Doubt is in force when it returns, or else with the next Apply.
func (d *Dataplane) Doubt(ctx context.Context, on bool) error {
	if d.doubt == on {
		return nil
	}
	d.doubt = on
	if !d.applied {
		return nil
	}
	from, to := newRuleset(), newRuleset()
	from.exists, to.exists = true, true
	if err := from.addTrusted(!on); err != nil {
		return err
	}
	if err := to.addTrusted(on); err != nil {
		return err
	}
	var t transaction
	t.change(from, to)
	if err := commit(ctx, d.conn, &t, true); err != nil {
		d.applied = false
		return d.failed("commit doubt", err)
	}
	return nil
}
