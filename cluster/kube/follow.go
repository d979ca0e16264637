package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
)

// sink is where a follower puts what it reads.
type sink interface {
	begin()                    // a complete list begins
	put(object metav1.Object)  // the object exists, with this content
	gone(object metav1.Object) // the object was deleted, or left the selection
	end()                      // the list is complete: what was not put since begin is gone
	connected()                // the server answers
	disconnected(reason error) // it does not
	absent(why string)         // there is no such resource, for now
	begun()                    // following begins: a complete list will come
	ended(why string)          // following has ended: everything is gone
}

// retry is how long to wait after a failure. The jitter spreads the agents of
// a large cluster when its API server comes back.
var retry = wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 1, Steps: 8, Cap: 10 * time.Second}

// follower keeps a sink up to date with a resource.
type follower struct {
	resource Resource
	sink     sink
	version  string // of the last thing read; empty: a complete list is due
	paged    bool   // the server cannot begin a watch with a list
	// others are other versions of the resource, to be tried in turn where the
	// server does not have this one.
	others []Resource
	gate   *gate // nil: always open
}

// run follows until the context ends, while the gate is open.
func (f *follower) run(ctx context.Context, retry wait.Backoff) {
	if f.gate == nil {
		f.follow(ctx, retry)
		return
	}
	for f.gate.wait(ctx, true) {
		open, shut := context.WithCancel(ctx)
		go func() {
			f.gate.wait(open, false)
			shut()
		}()
		f.follow(open, retry)
		shut()
		f.version = ""
		f.gate.left()
	}
}

func (f *follower) follow(ctx context.Context, retry wait.Backoff) {
	pause := retry
	for {
		before := f.version
		err := f.step(ctx)
		if ctx.Err() != nil {
			return
		}
		if f.version != before {
			pause = retry
		}
		switch {
		case f.gate != nil && apierrors.IsNotFound(err):
			f.sink.absent("the server has no " + f.resource.path)
			f.turn()
		case err != nil:
			f.sink.disconnected(err)
		case f.version != before:
			continue // a watch that ended in good order, or history that did
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause.Step()):
		}
	}
}

// turn goes on to the next version of the resource.
func (f *follower) turn() {
	f.version = ""
	if len(f.others) == 0 {
		return
	}
	f.resource, f.others = f.others[0], append(f.others[1:], f.resource)
}

// step reads until the connection or the server's history ends.
func (f *follower) step(ctx context.Context) error {
	if f.version == "" && f.paged {
		if err := f.list(ctx); err != nil {
			return fmt.Errorf("list %s: %w", f.resource.name, err)
		}
	}
	err := f.watch(ctx)
	switch {
	case err == nil:
		return nil
	case apierrors.IsResourceExpired(err) || apierrors.IsGone(err):
		f.version = "" // compacted: only a complete list tells what is gone
		return nil
	case f.version == "" && (apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)):
		f.paged = true
	}
	return fmt.Errorf("watch %s: %w", f.resource.name, err)
}

func (f *follower) list(ctx context.Context) error {
	f.sink.begin()
	for next := ""; ; {
		page, err := f.resource.list(ctx, next, f.sink.put)
		if err != nil {
			return err
		}
		f.sink.connected()
		if next = page.GetContinue(); next == "" {
			f.sink.end()
			f.version = page.GetResourceVersion()
			return nil
		}
	}
}

// watch ends without an error when the server ends it in good order.
func (f *follower) watch(ctx context.Context) error {
	events, err := f.resource.watch(ctx, f.version)
	if err != nil {
		return err
	}
	defer events.Close()
	f.sink.connected()
	if f.version == "" {
		f.sink.begin()
	}
	for {
		kind, object, err := events.Decode()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = f.take(kind, object)
		}
		if err != nil {
			return err
		}
	}
}

func (f *follower) take(kind watch.EventType, object runtime.Object) error {
	if kind == watch.Error {
		return apierrors.FromObject(object)
	}
	m, err := meta.Accessor(object)
	if err != nil {
		return fmt.Errorf("read %s event: %w", kind, err)
	}
	switch kind {
	case watch.Added, watch.Modified:
		f.sink.put(m)
	case watch.Deleted:
		f.sink.gone(m)
	case watch.Bookmark:
		if f.version == "" && m.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
			f.sink.end()
			f.version = m.GetResourceVersion()
		}
	}
	// Before its marked bookmark an initial stream may break anywhere, and its
	// objects come in no order: their versions are no place to go on from.
	if f.version != "" {
		f.version = m.GetResourceVersion()
	}
	return nil
}
