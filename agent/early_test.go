package agent

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/agent/nri"
	"github.com/bulkhead-dev/bulkhead/cluster"
)

func bare(name string) *cluster.Pod {
	p := pod("n1", name, "10.0.0.1")
	p.Addrs = nil
	return p
}

func starting(name, addr string) nri.Pod {
	return nri.Pod{Namespace: "shop", Name: name, Addrs: []netip.Addr{netip.MustParseAddr(addr)}}
}

// A pod is enforced when the runtime may go on, and stays so until the API has
// its address and after.
func TestAPodIsEnforcedBeforeItRuns(t *testing.T) {
	l := start(t)
	web, early, late := bare("web"), netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.8")
	l.told(t, Batch{Pods: pods(web), Policies: denyAll("deny")})
	until(t, "readiness", l.Ready)
	l.podStarts(t.Context(), starting("web", "10.0.0.7"))
	p := l.plan(t)
	if p.Local[early].Ingress == 0 {
		t.Fatal("the pod may run and is not isolated")
	}
	labelled := *web
	labelled.Labels = map[string]string{"app": "web", "more": "x"}
	l.source.batches <- Batch{Pods: pods(&labelled)}
	second := pod("n1", "other", "10.0.0.9")
	if p = l.told(t, Batch{Pods: pods(second)}); p.Local[early].Ingress == 0 {
		t.Error("a change of the pod's object opens it")
	}
	reported := labelled
	reported.Addrs = []netip.Addr{late}
	if p = l.told(t, Batch{Pods: pods(&reported)}); p.Local[early].Ingress == 0 || p.Local[late].Ingress == 0 {
		t.Error("the API and the runtime disagree on the address, and one of the two is open")
	}
	reported.Addrs = []netip.Addr{late}
	l.podStops(starting("web", ""+"10.0.0.7"))
	if p = l.plan(t); p.Local[early].Ingress != 0 || p.Local[late].Ingress == 0 {
		t.Error("the address stays with the pod after the runtime has stopped it")
	}
}

func TestTheAddressOfTheAPIReplacesTheRuntimes(t *testing.T) {
	l := start(t)
	l.told(t, Batch{Pods: pods(bare("web")), Policies: denyAll("deny")})
	until(t, "readiness", l.Ready)
	l.podStarts(t.Context(), starting("web", "10.0.0.7"))
	l.plan(t)
	l.source.batches <- Batch{Pods: pods(pod("n1", "web", "10.0.0.7"))} // changes nothing in the plan
	p := l.told(t, Batch{Pods: pods(pod("n1", "web", "10.0.0.8"))})
	if len(p.Local) != 1 || p.Local[netip.MustParseAddr("10.0.0.8")].Ingress == 0 {
		t.Errorf("local %v, want the API's second address alone", p.Local)
	}
}

// The runtime may be faster than the API.
func TestARuntimeThatIsEarlyWaits(t *testing.T) {
	l := start(t)
	l.told(t, Batch{Policies: denyAll("deny")})
	until(t, "readiness", l.Ready)
	done := make(chan struct{})
	go func() { defer close(done); l.podStarts(t.Context(), starting("web", "10.0.0.7")) }()
	l.source.batches <- Batch{Pods: pods(bare("web"))}
	if p := l.plan(t); p.Local[netip.MustParseAddr("10.0.0.7")].Ingress == 0 {
		t.Error("the pod is not isolated")
	}
	<-done
}

func TestAPodThatNobodyKnowsIsNotWaitedForForever(t *testing.T) {
	l := start(t)
	l.told(t, Batch{Policies: denyAll("deny")})
	until(t, "readiness", l.Ready)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.podStarts(ctx, starting("ghost", "10.0.0.7"))
	l.podStops(starting("ghost", "10.0.0.7"))
	l.podStarts(t.Context(), nri.Pod{Namespace: "shop", Name: "host"}) // on its node's network
	if !strings.Contains(l.log.String(), "not known yet") {
		t.Errorf("the log does not tell:\n%s", l.log)
	}
}

// A runtime without a socket is what most have; it is told of only if it must be
// there.
func TestNoRuntime(t *testing.T) {
	for _, required := range []bool{false, true} {
		l := startWith(t, func(o *Options) {
			o.Runtime = Runtime{Socket: filepath.Join(t.TempDir(), "nri.sock"), Required: required, Again: 1}
		})
		l.told(t, Batch{})
		until(t, "readiness", l.Ready)
		if required {
			until(t, "a word in the log", func() bool { return strings.Contains(l.log.String(), "does not tell of pods") })
		}
		if told := strings.Contains(l.log.String(), "does not tell of pods"); told != required {
			t.Errorf("required %t: told %t", required, told)
		}
		if s, err := l.Status(t.Context()); err != nil || s.Runtime != "" {
			t.Errorf("runtime %q in the status (%v)", s.Runtime, err)
		}
	}
}
