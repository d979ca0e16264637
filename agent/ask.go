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

	"github.com/bulkhead-dev/bulkhead/plan"
)

// askWait is how long an agent may take for an answer. It may be in the middle
// of a large change.
const askWait = 15 * time.Second

// ErrNoAgent: nobody answers where an agent was expected.
var ErrNoAgent = errors.New("no agent answers")

// Ask is the status of the agent that listens on an address.
func Ask(ctx context.Context, address string) (Status, error) {
	var status Status
	err := ask(ctx, address+PathStatus, func(body io.Reader) error { return json.NewDecoder(body).Decode(&status) })
	return status, err
}

// AskPlan is the plan that the agent on an address asks its kernel for.
func AskPlan(ctx context.Context, address string) (*plan.Plan, error) {
	var p *plan.Plan
	err := ask(ctx, address+PathPlan, func(body io.Reader) error {
		text, err := io.ReadAll(body)
		if err == nil {
			p, err = plan.Parse(string(text))
		}
		return err
	})
	return p, err
}

func ask(ctx context.Context, url string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+url, nil)
	if err != nil {
		return fmt.Errorf("ask agent: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask agent: %w: %w", ErrNoAgent, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return fmt.Errorf("ask agent: %s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	if err := read(response.Body); err != nil {
		return fmt.Errorf("read agent's answer: %w", err)
	}
	return nil
}
