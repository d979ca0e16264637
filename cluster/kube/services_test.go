package kube

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

func endpointSlice(name, service string, addrs ...string) *discoveryv1.EndpointSlice {
	port, protocol := int32(80), corev1.ProtocolTCP
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Port: &port, Protocol: &protocol}}}
	s.Namespace, s.Name, s.Labels = "a", name, map[string]string{discoveryv1.LabelServiceName: service}
	for _, addr := range addrs {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{addr}})
	}
	return s
}

func TestServicesLeadWhereTheirSlicesSay(t *testing.T) {
	s := newAPIServer(t)
	labelled := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web", Labels: map[string]string{"tier": "front"}}}
	s.put("services", labelled)
	s.put("endpointslices", endpointSlice("web-1", "web", "10.0.0.1", "10.0.0.2"))
	s.put("endpointslices", endpointSlice("web-2", "web", "10.0.0.3", "10.0.0.1"))
	s.put("endpointslices", endpointSlice("stray", "", "10.0.0.9"))
	f := NewFeed(s.client(t), slog.New(slog.DiscardHandler))
	services := f.Services()
	start(t, f)
	is := map[cluster.Name]*cluster.Endpoints{}
	until := func(what string, want ...string) {
		t.Helper()
		deadline := time.After(time.Minute)
		for {
			maps.Copy(is, services.Take())
			var got []string
			for name, e := range is {
				if e != nil {
					got = append(got, fmt.Sprint(name, e.Labels, e.Backends))
				}
			}
			slices.Sort(got)
			if f.Synced() && slices.Equal(got, want) {
				return
			}
			select {
			case <-f.News():
			case <-time.After(time.Millisecond):
			case <-deadline:
				t.Fatalf("%s: %q, want %q", what, got, want)
			}
		}
	}
	until("nobody asks")
	if s.asked("endpointslices") > 0 {
		t.Error("asked although nobody wants to know")
	}
	services.Want(true)
	until("all", "a/web map[tier:front] [{10.0.0.1 [{TCP 80}]} {10.0.0.2 [{TCP 80}]} {10.0.0.3 [{TCP 80}]}]")
	s.remove("endpointslices", "a", "web-1")
	until("a slice less", "a/web map[tier:front] [{10.0.0.1 [{TCP 80}]} {10.0.0.3 [{TCP 80}]}]")
	s.put("endpointslices", endpointSlice("web-2", "other", "10.0.0.3"))
	until("a slice of another service", "a/other map[] [{10.0.0.3 [{TCP 80}]}]")
	s.put("endpointslices", endpointSlice("web-3", "web", "10.0.0.4"))
	until("back", "a/other map[] [{10.0.0.3 [{TCP 80}]}]", "a/web map[tier:front] [{10.0.0.4 [{TCP 80}]}]")
	s.remove("services", "a", "web")
	until("labels go with the service", "a/other map[] [{10.0.0.3 [{TCP 80}]}]", "a/web map[] [{10.0.0.4 [{TCP 80}]}]")
	services.Want(false)
	until("nobody asks any more")
}
