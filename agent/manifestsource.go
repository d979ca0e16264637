package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// settle is how long a folder must have been quiet before it is read again:
// what is half written is not a cluster.
const settle = 50 * time.Millisecond

// manifestSource reads a folder of manifests, again whenever something in it
// changes. While the folder holds something wrong, the last good state stands.
type manifestSource struct {
	dir     string
	log     *slog.Logger
	watcher *fsnotify.Watcher
	read    chan *manifest.Bundle

	mu     sync.Mutex
	status SourceStatus
	kept   *cluster.Snapshot // the last good state; only Run's goroutine changes it

	given *manifest.Bundle // what Next gave last, of its goroutine; nil: nothing yet
}

// FromManifests is a source that follows a folder. It reads the folder once, so
// that what is wrong in it is known before anything starts.
func FromManifests(dir string, log *slog.Logger) (Source, error) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("follow %s: is a file: name the folder that holds it", dir)
	}
	bundle, err := manifest.Load([]string{dir}, manifest.Options{}, nil)
	if err != nil {
		return nil, err
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	s := &manifestSource{
		dir: dir, log: log, watcher: watcher, read: make(chan *manifest.Bundle, 1),
		status: SourceStatus{Name: dir, Synced: true}, kept: bundle.Snapshot,
	}
	if err := s.watchAll(); err != nil {
		return nil, errors.Join(err, watcher.Close())
	}
	s.read <- bundle
	return s, nil
}

// watchAll watches the folder and all below it; what is watched already stays
// so.
func (s *manifestSource) watchAll() error {
	return filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed meanwhile; there will be news of that
		case err != nil:
			return fmt.Errorf("watch %s: %w", path, err)
		case path != s.dir && !entry.IsDir():
			return nil
		}
		if err := s.watcher.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("watch %s: %w", path, err)
		}
		return nil
	})
}

func (s *manifestSource) Run(ctx context.Context) error {
	defer s.watcher.Close()
	quiet := time.NewTimer(settle) // for what changed before the watch began
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-s.watcher.Events:
			if !ok {
				return fmt.Errorf("watch %s: the watch ended", s.dir)
			}
			quiet.Reset(settle)
		case err := <-s.watcher.Errors: // some events were lost, most likely
			s.log.Warn("folder watch failed, reading all of it", "dir", s.dir, "error", err)
			quiet.Reset(settle)
		case <-quiet.C:
			s.reload()
		}
	}
}

func (s *manifestSource) reload() {
	err := s.watchAll()
	var bundle *manifest.Bundle
	if err == nil {
		bundle, err = manifest.Load([]string{s.dir}, manifest.Options{Keep: s.kept}, nil)
	}
	if err != nil {
		s.fail(err.Error())
		s.log.Error("manifests not read, the last good state stays enforced", "dir", s.dir, "error", err)
		return
	}
	s.mu.Lock()
	s.status.Failed, s.kept = "", bundle.Snapshot
	s.mu.Unlock()
	s.hand(bundle)
}

// hand passes a bundle on, in place of one that was not taken yet.
func (s *manifestSource) hand(bundle *manifest.Bundle) {
	select {
	case <-s.read:
	default:
	}
	s.read <- bundle
}

func (s *manifestSource) fail(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Failed = why
}

// PodAt is of the last good state.
func (s *manifestSource) PodAt(addr netip.Addr) (cluster.Name, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, p := range s.kept.Pods {
		if slices.Contains(p.Addrs, addr) {
			return name, true
		}
	}
	return cluster.Name{}, false
}

func (s *manifestSource) Status() SourceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func (s *manifestSource) Next(ctx context.Context) (Batch, error) {
	for {
		select {
		case <-ctx.Done():
			return Batch{}, ctx.Err()
		case bundle := <-s.read:
			first := s.given == nil
			batch := difference(s.given, bundle)
			s.given = bundle
			if first || !batch.Empty() {
				return batch, nil
			}
		}
	}
}
