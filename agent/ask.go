package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// askWait is how long an agent may take for an answer. It may be in the middle
// of a large change.
const askWait = 15 * time.Second

// ErrNoAgent: nobody answers where an agent was expected.
var ErrNoAgent = errors.New("no agent answers")

// Ask is the status of the agent that listens on an address.
func Ask(ctx context.Context, address string) (Status, error) {
	var status Status
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+PathStatus, nil)
	if err != nil {
		return status, fmt.Errorf("ask agent: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return status, fmt.Errorf("ask agent: %w: %w", ErrNoAgent, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return status, fmt.Errorf("ask agent: %s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	if err := json.NewDecoder(response.Body).Decode(&status); err != nil {
		return status, fmt.Errorf("read agent's answer: %w", err)
	}
	return status, nil
}
