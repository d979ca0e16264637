package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Compact has etcd forget everything older than now. It uses etcd's JSON
// gateway, in which numbers are text.
func (c *ControlPlane) Compact(ctx context.Context) error {
	var latest struct {
		Header struct{ Revision string }
	}
	if err := etcd(ctx, "/v3/kv/range", map[string]any{"key": "AA=="}, &latest); err != nil {
		return fmt.Errorf("find latest revision: %w", err)
	}
	request := map[string]any{"revision": latest.Header.Revision, "physical": true}
	if err := etcd(ctx, "/v3/kv/compaction", request, nil); err != nil {
		return fmt.Errorf("compact history: %w", err)
	}
	return nil
}

func etcd(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, etcdURL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd answers %s", response.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(out)
}
