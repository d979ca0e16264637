package nft

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Update makes a diff true, without reading the table first: one message there
// and one back.
func (d *Dataplane) Update(ctx context.Context, diff plan.Diff, desired *plan.Plan) error {
	var t transaction
	if err := t.update(diff, desired, d.options.Proxy); err != nil {
		return fmt.Errorf("render change: %w", err)
	}
	if err := commit(ctx, d.conn, &t, true); err != nil {
		return d.failed("commit change", err)
	}
	return nil
}

// update renders only what the diff mentions, as it was and as it will be.
func (t *transaction) update(diff plan.Diff, desired *plan.Plan, proxy Proxy) error {
	from, to := newRuleset(), newRuleset()
	for _, r := range []*ruleset{from, to} {
		r.exists = true
		r.addBaseSets()
	}
	for id, e := range diff.Classes {
		if err := updateClass(from, to, id, e); err != nil {
			return err
		}
	}
	eachEdit(diff.Peers, from, to, (*ruleset).addGroup)
	eachEdit(diff.Wider, from, to, (*ruleset).addWider)
	eachEdit(diff.Addrs, from, to, (*ruleset).addAddr)
	eachEdit(diff.Ranges, from, to, (*ruleset).addRange)
	eachEdit(diff.Held, from, to, (*ruleset).addHeldRange)
	eachEdit(diff.Known, from, to, (*ruleset).addKnown)
	for addr, e := range diff.Local {
		if err := checkLocal(addr, e.New, desired.Classes); err != nil {
			return err
		}
	}
	eachEdit(diff.Local, from, to, (*ruleset).addLocal)
	if err := updateHosts(from, to, diff, desired, proxy); err != nil {
		return err
	}
	t.change(from, to)
	return nil
}

// updateHosts renders all of the hosts' chains and sets, as they were and as they
// will be, if the diff mentions any.
func updateHosts(from, to *ruleset, diff plan.Diff, desired *plan.Plan, proxy Proxy) error {
	if len(diff.Hosts)+len(diff.Own)+len(diff.Keep) == 0 {
		return nil
	}
	now := hostsOf(desired)
	if err := checkHosts(now, desired.Classes); err != nil {
		return err
	}
	if err := from.addHosts(now.before(diff), proxy); err != nil {
		return err
	}
	return to.addHosts(now, proxy)
}

// eachEdit adds an entry's old value to what was and its new one to what will
// be.
func eachEdit[K comparable, V any](edits map[K]plan.Edit[V], from, to *ruleset, add func(*ruleset, K, V)) {
	for k, e := range edits {
		if e.Had {
			add(from, k, e.Old)
		}
		if e.Has {
			add(to, k, e.New)
		}
	}
}

// updateClass counts the rows of the class as it will be, and from them and the
// edits those of the class as it was, since the sets that a class has follow
// from its rows.
func updateClass(from, to *ruleset, id plan.ClassID, e plan.ClassEdit) error {
	counts := map[classSet]int{}
	if e.New != nil {
		var err error
		if counts, err = countRows(e.New.Rows); err != nil {
			return fmt.Errorf("class %s: %w", id, err)
		}
	}
	was, old, now := counts, map[plan.Row]traffic.Verdict{}, map[plan.Row]traffic.Verdict{}
	if len(e.Rows) > 0 {
		was = maps.Clone(counts)
	}
	for row, edit := range e.Rows {
		kind, err := kindOf(row)
		if err != nil {
			return fmt.Errorf("class %s: %w", id, err)
		}
		if edit.Had {
			old[row] = edit.Old
			was[classSet{kind, edit.Old}]++
		}
		if edit.Has {
			now[row] = edit.New
			was[classSet{kind, edit.New}]--
		}
	}
	if e.Old != nil {
		if err := from.addClass(id, classShape(e.Old, was), old); err != nil {
			return err
		}
	}
	if e.New != nil {
		if err := to.addClass(id, classShape(e.New, counts), now); err != nil {
			return err
		}
	}
	if e.Old != nil && e.New != nil && (e.Old.Direction != e.New.Direction || e.Old.Audit != e.New.Audit || e.Old.Grants != e.New.Grants || !slices.Equal(e.Old.Policies, e.New.Policies)) {
		return fmt.Errorf("class %s: became another class", id)
	}
	return nil
}
