package agent

import (
	"context"
	"slices"
	"testing"

	"github.com/bulkhead-dev/bulkhead/dataplane"
	"github.com/bulkhead-dev/bulkhead/dataplane/fake"
)

// doubting is a dataplane in memory that can doubt.
type doubting struct {
	*fake.Dataplane
	said []bool
}

func (d *doubting) Doubt(_ context.Context, on bool) error {
	d.said = append(d.said, on)
	return nil
}

// TestRecorderHandsOn what its dataplane can do beside the contract: the engine
// asks the recorder for it.
func TestRecorderHandsOn(t *testing.T) {
	inner := &doubting{Dataplane: fake.New(nil)}
	var outer dataplane.Dataplane = newRecorder(inner, nil, nil)
	doubter, ok := outer.(dataplane.Doubter)
	if !ok {
		t.Fatal("the recorder keeps doubt from the dataplane")
	}
	for _, on := range []bool{true, false} {
		if err := doubter.Doubt(context.Background(), on); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(inner.said, []bool{true, false}) {
		t.Errorf("the dataplane was told %v", inner.said)
	}
	watcher, ok := outer.(dataplane.Watcher)
	if !ok || watcher.Changed() == nil {
		t.Error("the recorder does not tell of changes by others")
	}
	if err := newRecorder(fake.New(nil), nil, nil).Doubt(context.Background(), true); err != nil {
		t.Errorf("a dataplane that cannot doubt: %v", err)
	}
}
