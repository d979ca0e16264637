package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
)

// SocketName is the file on which a cluster listens, in its folder.
const SocketName = "control.sock"

// A Client talks to the cluster of a folder. It is safe for concurrent use.
type Client struct {
	dir  string
	http *http.Client
}

// NewClient makes a client; nothing is connected before it is used.
func NewClient(dir string) *Client {
	c := &Client{dir: dir}
	c.http = &http.Client{Transport: &http.Transport{DialContext: c.dial}}
	return c
}

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(c.dir, SocketName))
}

// PID is that of the cluster's process, as the caller sees it.
func (c *Client) PID(ctx context.Context) (int, error) {
	conn, err := c.dial(ctx, "", "")
	if err != nil {
		return 0, fmt.Errorf("connect to cluster: %w", err)
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		// unix(7): of a socket that was listened on, the credentials of listen(2).
		peer, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, fmt.Errorf("find cluster process: %w", err)
	}
	return int(peer.Pid), nil
}

// Status asks how the cluster is.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	status := &Status{}
	return status, c.call(ctx, http.MethodGet, "/status", nil, status)
}

// Pod asks for a running pod.
func (c *Client) Pod(ctx context.Context, namespace, name string) (*Pod, error) {
	pod := &Pod{}
	return pod, c.call(ctx, http.MethodGet, "/pods/"+url.PathEscape(namespace)+"/"+url.PathEscape(name), nil, pod)
}

// Process does something with a process.
func (c *Client) Process(ctx context.Context, request ProcessRequest) (*ProcessStatus, error) {
	status := &ProcessStatus{}
	return status, c.call(ctx, http.MethodPost, "/process", request, status)
}

// Compact has etcd forget everything older than now, so that a watch from an
// earlier version fails.
func (c *Client) Compact(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/compact", nil, nil)
}

// Stop ends the cluster; it is answered before the end.
func (c *Client) Stop(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/stop", nil, nil)
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://cluster"+path, &body)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("ask cluster: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return fmt.Errorf("ask cluster: %s", strings.TrimSpace(string(text)))
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		return fmt.Errorf("read answer of cluster: %w", err)
	}
	return nil
}
