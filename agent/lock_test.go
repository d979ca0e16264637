package agent

import (
	"errors"
	"testing"
)

func TestOneAgentForANetworkNamespace(t *testing.T) {
	unlock, err := Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(); !errors.Is(err, ErrRunning) {
		t.Errorf("second lock: %v, want %v", err, ErrRunning)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	unlock, err = Lock()
	if err != nil {
		t.Fatalf("lock after unlock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}
