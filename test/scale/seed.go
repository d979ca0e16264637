package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// Seeding writes objects into etcd as the API server would, before it starts:
// through the API, a pod takes two calls, and 100,000 take minutes.

// put is one object in etcd.
type put struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

// perTransaction is how many operations etcd takes at once by default.
const perTransaction = 128

// seed writes the whole world.
func (w *world) seed(ctx context.Context, etcd string) error {
	writers, ctx := errgroup.WithContext(ctx)
	writers.SetLimit(4)
	var puts []put
	flush := func() {
		batch := puts
		puts = nil
		writers.Go(func() error { return commit(ctx, etcd, batch) })
	}
	err := w.each(func(key string, object runtime.Object) error {
		value, err := stored(object)
		if err != nil {
			return err
		}
		if puts = append(puts, put{[]byte("/registry/" + key), value}); len(puts) == perTransaction {
			flush()
		}
		return ctx.Err()
	})
	if len(puts) > 0 {
		flush()
	}
	if failed := writers.Wait(); failed != nil {
		return failed
	}
	return err
}

// each visits every object with its key.
func (w *world) each(visit func(key string, object runtime.Object) error) error {
	for _, kind := range []struct {
		n    int
		make func(int) (string, runtime.Object)
	}{
		{w.namespaces, func(n int) (string, runtime.Object) { return "namespaces/" + namespaceName(n), w.namespace(n) }},
		{w.nodes(), func(n int) (string, runtime.Object) { return "minions/" + nodeName(n), w.node(n) }},
		{w.policies, func(n int) (string, runtime.Object) {
			p := w.policy(n)
			return "networkpolicies/" + p.Namespace + "/" + p.Name, p
		}},
		{w.pods, func(n int) (string, runtime.Object) {
			p := w.pod(n)
			return "pods/" + p.Namespace + "/" + p.Name, p
		}},
	} {
		for n := range kind.n {
			if err := visit(kind.make(n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// stored is an object as the API server stores it.
func stored(object runtime.Object) ([]byte, error) {
	encoder := scheme.Codecs.EncoderForVersion(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), versionOf(object))
	value, err := runtime.Encode(encoder, object)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", object, err)
	}
	return value, nil
}

func versionOf(object runtime.Object) runtime.GroupVersioner {
	if _, ok := object.(*networkingv1.NetworkPolicy); ok {
		return networkingv1.SchemeGroupVersion
	}
	return corev1.SchemeGroupVersion
}

// commit writes a transaction through etcd's JSON gateway.
func commit(ctx context.Context, etcd string, puts []put) error {
	type operation struct {
		Put put `json:"request_put"`
	}
	var transaction struct {
		Success []operation `json:"success"`
	}
	for _, p := range puts {
		transaction.Success = append(transaction.Success, operation{p})
	}
	body, err := json.Marshal(transaction)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, etcd+"/v3/kv/txn", bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("write to etcd: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("write to etcd: %s", response.Status)
	}
	return nil
}
