package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"
)

// Conditions writes what agents say of an object into its status. All agents of a
// cluster would write the same, so each waits for a time of its own, and only the
// first writes: the others see it by the watch that they have of the object anyway.
// A write names the version that it was decided on, so that of two at once one is
// refused.
//
// A condition of the present generation that says something else is left alone
// unless it is older than this agent: agents of two versions do not write against
// each other for ever.
type Conditions struct {
	client  *Client
	manager string // of the fields, for the API server
	kind    string // the condition's type
	started time.Time
	spread  time.Duration // the longest wait
	limit   flowcontrol.RateLimiter
	log     *slog.Logger

	mu   sync.Mutex
	due  map[types.UID]*dueCondition
	wake chan struct{}
}

type dueCondition struct {
	path    string // of the status
	object  Object
	version string // of the object
	want    metav1.Condition
	at      time.Time
}

// conditionsSpread is how long an agent waits at most: of 5,000 agents about 50
// write within the tenth of a second after which they know of the first.
const conditionsSpread = 10 * time.Second

// NewConditions writes conditions of one type.
func NewConditions(client *Client, manager, kind string, log *slog.Logger) *Conditions {
	return &Conditions{
		client: client, manager: manager, kind: kind, log: log, started: time.Now(), spread: conditionsSpread,
		limit: flowcontrol.NewTokenBucketRateLimiter(5, 10),
		due:   map[types.UID]*dueCondition{}, wake: make(chan struct{}, 1),
	}
}

// See tells of an object as it is, and what its condition is to say: status,
// reason and message.
func (c *Conditions) See(object *Custom, resource string, want metav1.Condition) {
	want.Type, want.ObservedGeneration = c.kind, object.Generation
	is := conditionOf(object.JSON, c.kind)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stale(is, want) {
		delete(c.due, object.UID)
		return
	}
	at := time.Now().Add(rand.N(c.spread))
	if old := c.due[object.UID]; old != nil {
		at = old.at
	}
	c.due[object.UID] = &dueCondition{
		path:   "/apis/" + object.APIVersion + "/" + resource + "/" + object.Name + "/status",
		object: Object{APIVersion: object.APIVersion, Kind: object.Kind, Name: nameOf(object), UID: object.UID},
		want:   want, version: object.ResourceVersion, at: at,
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *Conditions) stale(is *metav1.Condition, want metav1.Condition) bool {
	if is == nil || is.ObservedGeneration != want.ObservedGeneration {
		return true
	}
	same := is.Status == want.Status && is.Reason == want.Reason && is.Message == want.Message
	return !same && is.LastTransitionTime.Time.Before(c.started)
}

// conditionOf is nil if the object has none of the type.
func conditionOf(object []byte, kind string) *metav1.Condition {
	var has struct {
		Status struct {
			Conditions []metav1.Condition `json:"conditions"`
		} `json:"status"`
	}
	if json.Unmarshal(object, &has) != nil {
		return nil
	}
	for i := range has.Status.Conditions {
		if has.Status.Conditions[i].Type == kind {
			return &has.Status.Conditions[i]
		}
	}
	return nil
}

// Run writes until the context ends.
func (c *Conditions) Run(ctx context.Context) {
	for {
		next, wait := c.next()
		if next != nil {
			if c.limit.Wait(ctx) != nil {
				return
			}
			c.settle(next, c.write(ctx, next))
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-time.After(wait):
		}
	}
}

// next is one whose time has come, or nil and how long to wait for one.
func (c *Conditions) next() (*dueCondition, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var first *dueCondition
	for _, due := range c.due {
		if first == nil || due.at.Before(first.at) {
			first = due
		}
	}
	if first == nil {
		return nil, time.Hour
	}
	if wait := time.Until(first.at); wait > 0 {
		return nil, wait
	}
	return first, 0
}

func (c *Conditions) write(ctx context.Context, due *dueCondition) error {
	due.want.LastTransitionTime = metav1.Now()
	body, err := json.Marshal(map[string]any{
		"apiVersion": due.object.APIVersion, "kind": due.object.Kind,
		"metadata": map[string]any{"name": due.object.Name.Name, "uid": due.object.UID, "resourceVersion": due.version},
		"status":   map[string]any{"conditions": []metav1.Condition{due.want}},
	})
	if err != nil {
		return err
	}
	return c.client.custom.Patch(types.ApplyPatchType).AbsPath(due.path).
		Param("fieldManager", c.manager).Param("force", "true").Body(body).Do(ctx).Error()
}

// settle decides whether to try again: not what was changed or is gone meanwhile,
// of which the watch tells.
func (c *Conditions) settle(due *dueCondition, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.due[due.object.UID]; now != due {
		return // there is news of it
	}
	switch {
	case err == nil || apierrors.IsConflict(err) || apierrors.IsNotFound(err):
		delete(c.due, due.object.UID)
	case refused(err):
		c.log.Warn("condition not written", "object", due.object.String(), "error", err)
		delete(c.due, due.object.UID)
	default:
		due.at = time.Now().Add(cmp.Or(rand.N(c.spread), time.Second))
	}
}
