package cluster

import (
	"slices"
	"testing"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

func TestBackends(t *testing.T) {
	s := NewSnapshot()
	for _, p := range []*Pod{
		{Name: Name{"shop", "b"}, Labels: map[string]string{"app": "web", "tier": "x"}},
		{Name: Name{"shop", "a"}, Labels: map[string]string{"app": "web"}, HostNetwork: true},
		{Name: Name{"shop", "c"}, Labels: map[string]string{"app": "db"}},
		{Name: Name{"dev", "a"}, Labels: map[string]string{"app": "web"}},
	} {
		s.Pods[p.Name] = p
	}
	for _, row := range []struct {
		selector map[string]string
		want     []string
	}{
		{nil, nil},
		{map[string]string{"app": "web"}, []string{"shop/a", "shop/b"}},
		{map[string]string{"app": "web", "tier": "x"}, []string{"shop/b"}},
		{map[string]string{"app": "none"}, nil},
	} {
		var got []string
		for _, pod := range s.Backends(&Service{Name: Name{"shop", "s"}, Selector: row.selector}) {
			got = append(got, pod.Name.String())
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%v: %v, want %v", row.selector, got, row.want)
		}
	}
}

func TestTarget(t *testing.T) {
	pod := &Pod{Ports: []Port{{"http", traffic.UDP, 1}, {"http", traffic.TCP, 2}, {"http", traffic.TCP, 3}}}
	for _, row := range []struct {
		port   ServicePort
		number uint16
		ok     bool
	}{
		{ServicePort{Protocol: traffic.TCP, TargetPort: 80}, 80, true},
		{ServicePort{Protocol: traffic.TCP, TargetName: "http"}, 2, true},
		{ServicePort{Protocol: traffic.UDP, TargetName: "http"}, 1, true},
		{ServicePort{Protocol: traffic.SCTP, TargetName: "http"}, 0, false},
		{ServicePort{Protocol: traffic.TCP, TargetName: "web"}, 0, false},
	} {
		if number, ok := row.port.Target(pod); number != row.number || ok != row.ok {
			t.Errorf("%+v: %d, %v", row.port, number, ok)
		}
	}
}
