package engine

import (
	"context"
	"fmt"

	"github.com/bulkhead-dev/bulkhead/dataplane"
	"github.com/bulkhead-dev/bulkhead/plan"
)

// doubt lets the tables judge every packet while connections may be open that the
// plan does not allow any more: so these stop with the change of the tables, and
// not one by one when they are found. It lasts until the last second look.
func (w *worker) doubt(ctx context.Context, scope plan.Scope) error {
	doubter, ok := w.Dataplane.(dataplane.Doubter)
	if !ok || scope.Empty() || w.Connections == nil {
		return nil
	}
	if err := doubter.Doubt(ctx, true); err != nil {
		return fmt.Errorf("doubt live connections: %w", err)
	}
	return nil
}

// trust ends the doubt if nothing is left to look at.
func (w *worker) trust(ctx context.Context) error {
	doubter, ok := w.Dataplane.(dataplane.Doubter)
	if !ok || w.whole || w.looks.running || !w.looks.first.Empty() {
		return nil
	}
	if err := doubter.Doubt(ctx, false); err != nil {
		w.whole = true
		return fmt.Errorf("trust live connections again: %w", err)
	}
	return nil
}
