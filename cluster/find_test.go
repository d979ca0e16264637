package cluster

import (
	"slices"
	"testing"
)

func TestFind(t *testing.T) {
	s := NewSnapshot()
	for name, workload := range map[string]string{
		"api": "", "web-0": "Deployment/web", "web-1": "Deployment/web", "web-2": "StatefulSet/web", "web": "",
		"db-0": "StatefulSet/db", "db-1": "StatefulSet/db", "job": "CronJob/db",
	} {
		n := Name{"shop", name}
		s.Pods[n] = &Pod{Name: n, Workload: workload}
	}
	s.Pods[Name{"other", "db-9"}] = &Pod{Name: Name{"other", "db-9"}, Workload: "StatefulSet/db"}
	for _, row := range []struct {
		name string
		want []string
	}{
		{"api", []string{"api"}},
		{"web", []string{"web"}},
		{"Deployment/web", []string{"web-0", "web-1"}},
		{"deployment/web", []string{"web-0", "web-1"}},
		{"db", []string{"db-0", "db-1", "job"}},
		{"cronjob/db", []string{"job"}},
		{"db-0", []string{"db-0"}},
		{"Pod/api", nil},
		{"", nil},
		{"nothing", nil},
	} {
		var got []string
		for _, pod := range s.Find("shop", row.name) {
			got = append(got, pod.Name.Name)
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("Find(shop, %q) = %v, want %v", row.name, got, row.want)
		}
	}
}
