package kubelet

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const sampleLog = `2026-01-01T00:00:01Z stdout F one
2026-01-01T00:00:02Z stderr F two
2026-01-01T00:00:03Z stdout F three
2026-01-01T00:00:04Z stdout P fo
2026-01-01T00:00:05Z stdout F ur
`

func TestWriteLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(sampleLog), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ query, want string }{
		{"", "one\ntwo\nthree\nfour\n"},
		{"tailLines=1", "ur\n"},
		{"tailLines=0", ""},
		{"tailLines=9", "one\ntwo\nthree\nfour\n"},
		{"limitBytes=5", "one\nt"},
		{"sinceTime=2026-01-01T00:00:03Z", "three\nfour\n"},
		{"timestamps=true&tailLines=1", "2026-01-01T00:00:05Z ur\n"},
	} {
		query, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		options, err := parseLogOptions(query)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		if err := writeLog(t.Context(), &got, path, options, nil); err != nil || got.String() != c.want {
			t.Errorf("%s: %q, %v, not %q", c.query, got.String(), err, c.want)
		}
	}
}

func TestParseLogOptionsRefusesNonsense(t *testing.T) {
	for _, query := range []string{"tailLines=x", "tailLines=-1", "limitBytes=1.5", "sinceTime=yesterday"} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseLogOptions(values); err == nil {
			t.Errorf("%s is accepted", query)
		}
	}
}

// signalling closes a channel once it has been written a text.
type signalling struct {
	strings.Builder
	until string
	once  sync.Once
	seen  chan struct{}
}

func (s *signalling) Write(b []byte) (int, error) {
	n, err := s.Builder.Write(b)
	if strings.HasSuffix(s.String(), s.until) {
		s.once.Do(func() { close(s.seen) })
	}
	return n, err
}

func TestFollowEndsWithTheContainerAndLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s, err := newStdio(path, false, false)
	if err != nil {
		t.Fatal(err)
	}
	s.started()
	out := stream{s, "stdout"}
	out.Write([]byte("first\nsec"))
	ended := make(chan struct{})
	running := func() bool {
		select {
		case <-ended:
			return false
		default:
			return true
		}
	}
	got := &signalling{until: "first\n", seen: make(chan struct{})}
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { done <- writeLog(ctx, got, path, logOptions{follow: true, tail: -1, limit: -1}, running) }()
	<-got.seen
	out.Write([]byte("ond\nlast"))
	s.close()
	close(ended)
	if err := <-done; err != nil || got.String() != "first\nsecond\nlast" {
		t.Errorf("followed %q, %v", got.String(), err)
	}
}

func TestAttachedClientsSeeWhatIsWritten(t *testing.T) {
	s, err := newStdio(filepath.Join(t.TempDir(), "log"), false, false)
	if err != nil {
		t.Fatal(err)
	}
	s.started()
	defer s.close()
	var out, errs strings.Builder
	detach := s.attach(&out, &errs)
	stream{s, "stdout"}.Write([]byte("o1"))
	stream{s, "stderr"}.Write([]byte("e1"))
	detach()
	stream{s, "stdout"}.Write([]byte("o2"))
	if out.String() != "o1" || errs.String() != "e1" {
		t.Errorf("the client saw %q and %q", out.String(), errs.String())
	}
}
