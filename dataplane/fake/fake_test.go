package fake

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/bulkhead-dev/bulkhead/plan"
)

func withAddr(addr string) *plan.Plan {
	p := plan.New("one")
	p.Addrs[netip.MustParseAddr(addr)] = 1
	return p
}

func TestPlanIsKept(t *testing.T) {
	ctx := context.Background()
	d := New(nil)
	a, b := withAddr("10.0.0.1"), withAddr("10.0.0.2")
	if err := d.Update(ctx, plan.Compare(a, b), b); err == nil {
		t.Error("an update before the first apply was taken")
	}
	if err := d.Apply(ctx, a); err != nil {
		t.Fatal(err)
	}
	if err := d.Update(ctx, plan.Compare(b, a), b); err == nil {
		t.Error("a diff that leads elsewhere was taken")
	}
	if !plan.Compare(d.Plan(), a).Empty() {
		t.Error("a refused update changed the plan")
	}
	if err := d.Update(ctx, plan.Compare(a, b), b); err != nil {
		t.Fatal(err)
	}
	if !plan.Compare(d.Plan(), b).Empty() {
		t.Error("the update is not in force")
	}
	if got, want := d.Calls(), []Call{Update, Apply, Update, Update}; !slices.Equal(got, want) {
		t.Errorf("calls %v, want %v", got, want)
	}
}

func TestInjectedErrors(t *testing.T) {
	injected := errors.New("injected")
	d := New(func(Call) error { return injected })
	if err := d.Apply(context.Background(), withAddr("10.0.0.1")); !errors.Is(err, injected) {
		t.Errorf("apply: %v", err)
	}
	if d.Plan() != nil {
		t.Error("a failed apply is in force")
	}
	if err := d.Close(); !errors.Is(err, injected) {
		t.Errorf("close: %v", err)
	}
}

func TestDamage(t *testing.T) {
	d := New(nil)
	if err := d.Apply(context.Background(), withAddr("10.0.0.1")); err != nil {
		t.Fatal(err)
	}
	d.Damage()
	<-d.Changed()
	if d.Plan() != nil {
		t.Error("the plan is still in force")
	}
}
