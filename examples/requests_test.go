package examples

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/lab"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// wanted is a line of requests.txt: "STATUS FROM METHOD PATH TO PORT".
type wanted struct {
	status                 int
	from, method, path, to string
	port                   uint16
}

func readRequests(t *testing.T, file string) []wanted {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []wanted
	for line := range strings.Lines(string(content)) {
		var w wanted
		if _, err := fmt.Sscan(line, &w.status, &w.from, &w.method, &w.path, &w.to, &w.port); err != nil {
			t.Fatalf("%s: %q: %v", file, line, err)
		}
		all = append(all, w)
	}
	return all
}

func podOf(t *testing.T, s *cluster.Snapshot, name string) *cluster.Pod {
	t.Helper()
	namespace, pod, _ := strings.Cut(name, "/")
	found, ok := s.Pods[cluster.Name{Namespace: namespace, Name: pod}]
	if !ok {
		t.Fatalf("there is no pod %s", name)
	}
	return found
}

// TestRequestsMeetExpectations asks the model about each request, and then sends
// it in a lab.
func TestRequestsMeetExpectations(t *testing.T) {
	files, err := filepath.Glob("*/requests.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no requests: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Dir(file), func(t *testing.T) {
			bundle, err := manifest.Load([]string{filepath.Dir(file)}, manifest.Options{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			l, err := lab.Start(t.Context(), lab.Config{}, bundle.Snapshot, bundle.Policies)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			model := verdict.New(bundle.Snapshot, bundle.Policies)
			for _, w := range readRequests(t, file) {
				from, to := podOf(t, bundle.Snapshot, w.from), podOf(t, bundle.Snapshot, w.to)
				v := model.Verdict(verdict.Connection{
					From: verdict.Endpoint{Addr: from.Addrs[0], Pod: from}, To: verdict.Endpoint{Addr: to.Addrs[0], Pod: to},
					Protocol: traffic.TCP, Port: w.port,
					Request: &l7.Request{Method: w.method, Path: w.path, Host: to.Addrs[0].String()},
				})
				if (v == traffic.Allow) != (w.status == http.StatusOK) {
					t.Errorf("%+v: the model says %s", w, v)
				}
				if status, err := send(t.Context(), l, w, netip.AddrPortFrom(to.Addrs[0], w.port)); err != nil || status != w.status {
					t.Errorf("%+v: status %d, %v", w, status, err)
				}
			}
		})
	}
}

func send(ctx context.Context, l *lab.Lab, w wanted, to netip.AddrPort) (int, error) {
	place, _ := l.Place(w.from)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
			err = place.Space.Do(func() error {
				c, err = (&net.Dialer{}).DialContext(ctx, network, address)
				return err
			})
			return c, err
		},
	}}
	request, err := http.NewRequestWithContext(ctx, w.method, "http://"+to.String()+w.path, nil)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	return response.StatusCode, nil
}
