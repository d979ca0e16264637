package kube

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/flowcontrol"
)

// Warning is something that the owner of an object should know.
type Warning struct {
	Object Object
	Reason string // one word in upper camel case, for machines
	Action string // what was tried, one word as well
	Note   string // a sentence
}

// Events writes warnings into the cluster as Events. Every node's agent finds
// the same fault in an object, so an event's name is derived from what it says:
// the first agent makes it, the others find it made.
//
// It never makes its caller wait: what does not fit into its queue is dropped,
// for warnings are in the log and in the metrics as well.
type Events struct {
	client     *Client
	controller string // who reports
	instance   string // where
	log        *slog.Logger
	limit      flowcontrol.RateLimiter
	queue      chan Warning
	retry      wait.Backoff
}

// What an agent may send: an event a second for long, and some at once.
const (
	eventsPerSecond = 1
	eventsAtOnce    = 25
	eventsQueued    = 256
)

// NewEvents reports as a controller ("bulkhead.dev/agent") on a node.
func NewEvents(client *Client, controller, node string, log *slog.Logger) *Events {
	return &Events{
		client: client, controller: controller, instance: node, log: log,
		limit: flowcontrol.NewTokenBucketRateLimiter(eventsPerSecond, eventsAtOnce),
		queue: make(chan Warning, eventsQueued), retry: retry,
	}
}

// Warn hands a warning over; false: the queue is full and it was dropped.
func (e *Events) Warn(w Warning) bool {
	select {
	case e.queue <- w:
		return true
	default:
		return false
	}
}

// Run writes until the context ends.
func (e *Events) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-e.queue:
			if e.limit.Wait(ctx) != nil {
				return
			}
			if err := e.write(ctx, w); err != nil && ctx.Err() == nil {
				e.log.Warn("event not written", "object", w.Object.String(), "reason", w.Reason, "error", err)
			}
		}
	}
}

// write tries again where the server did not answer or was busy.
func (e *Events) write(ctx context.Context, w Warning) error {
	event, pause := e.event(w), e.retry
	for {
		err := e.client.events.Post().Resource("events").Namespace(event.Namespace).Body(event).Do(ctx).Error()
		if err == nil || apierrors.IsAlreadyExists(err) {
			return nil
		}
		if refused(err) || pause.Steps == 0 {
			return fmt.Errorf("create event %s/%s: %w", event.Namespace, event.Name, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause.Step()):
		}
	}
}

// refused tells whether the same request would be refused again.
func refused(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsBadRequest(err)
}

// The API server's limits (validation of events.k8s.io/v1) that what we say may
// reach. A name is at most 253 characters; a dot and the hash go behind it.
const (
	longestNote     = 1024
	longestInstance = 128
	longestName     = 253 - 1 - 16
)

func (e *Events) event(w Warning) *eventsv1.Event {
	said := sha256.Sum256([]byte(strings.Join([]string{
		w.Object.Kind, string(w.Object.UID), strconv.FormatInt(w.Object.Generation, 10), w.Reason, w.Note,
	}, "\x00")))
	name := strings.TrimRight(cut(w.Object.Name.Name, longestName), ".-")
	return &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{
			// Events about objects without a namespace live in "default".
			Namespace: cmp.Or(w.Object.Namespace, metav1.NamespaceDefault),
			Name:      name + "." + hex.EncodeToString(said[:8]),
		},
		EventTime:           metav1.NewMicroTime(time.Now()),
		ReportingController: e.controller,
		ReportingInstance:   cut(e.instance, longestInstance),
		Type:                corev1.EventTypeWarning,
		Reason:              w.Reason,
		Action:              w.Action,
		Note:                cut(w.Note, longestNote),
		Regarding: corev1.ObjectReference{
			APIVersion: w.Object.APIVersion, Kind: w.Object.Kind, UID: w.Object.UID,
			Namespace: w.Object.Namespace, Name: w.Object.Name.Name,
		},
	}
}

// cut shortens to a number of bytes without breaking a character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}
