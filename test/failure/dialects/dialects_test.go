package dialects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// dialect is a policy that shuts the server off, and a change that lets the client
// in again.
type dialect struct {
	api, path, kind, name string
	shut, open            string // specs
}

// version is the API version in a path.
func (d dialect) version() string {
	parts := strings.Split(d.path, "/")
	return parts[2] + "/" + parts[3]
}

func (d dialect) object(spec string) string {
	return fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: %s}, spec: %s}", d.version(), d.kind, d.name, spec)
}

const (
	subject = `subject: {pods: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: "@NS"}}, podSelector: {matchLabels: {app: web}}}}`
	web     = `app == 'web' && projectcalico.org/namespace == '@NS'`
	here    = `endpointSelector: {matchLabels: {app: web}}`
	there   = `endpointSelector: {matchLabels: {app: web, "k8s:io.kubernetes.pod.namespace": "@NS"}}`
)

var dialects = []dialect{
	{"policy", "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies", "ClusterNetworkPolicy", "admin",
		`{tier: Admin, priority: 5, ` + subject + `, ingress: [{action: Deny, from: [{namespaces: {}}]}]}`,
		`{ingress: [{action: Accept, from: [{pods: {podSelector: {matchLabels: {app: client}}}}]}]}`},
	{"policy", "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies", "ClusterNetworkPolicy", "base",
		`{tier: Baseline, priority: 5, ` + subject + `, ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 80}}}]}]}`,
		`{ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 81}}}]}]}`},
	{"policy", "/apis/policy.networking.k8s.io/v1alpha1/adminnetworkpolicies", "AdminNetworkPolicy", "admin",
		`{priority: 5, ` + subject + `, ingress: [{action: Deny, from: [{namespaces: {}}]}]}`,
		`{ingress: [{action: Allow, from: [{namespaces: {}}]}]}`},
	{"policy", "/apis/policy.networking.k8s.io/v1alpha1/baselineadminnetworkpolicies", "BaselineAdminNetworkPolicy", "default",
		`{` + subject + `, ingress: [{action: Deny, from: [{namespaces: {}}]}]}`,
		`{ingress: [{action: Allow, from: [{namespaces: {}}]}]}`},
	{"calico", "/apis/projectcalico.org/v3/globalnetworkpolicies", "GlobalNetworkPolicy", "shut",
		`{selector: "` + web + `", types: [Ingress], ingress: [{action: Deny}]}`,
		`{ingress: [{action: Allow, protocol: TCP, source: {selector: "app == 'client'"}, destination: {ports: ["79:80"]}}]}`},
	{"calico", "/apis/crd.projectcalico.org/v1/namespaces/@NS/networkpolicies", "NetworkPolicy", "default.shut",
		`{selector: "app == 'web'", types: [Ingress], ingress: []}`,
		`{ingress: [{action: Allow}]}`},
	{"cilium", "/apis/cilium.io/v2/namespaces/@NS/ciliumnetworkpolicies", "CiliumNetworkPolicy", "shut",
		`{` + here + `, ingressDeny: [{fromEndpoints: [{}]}]}`,
		`{ingressDeny: [{fromEndpoints: [{matchLabels: {app: nobody}}]}], ingress: [{fromEndpoints: [{matchLabels: {app: client}}]}]}`},
	{"cilium", "/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies", "CiliumClusterwideNetworkPolicy", "shut",
		`{` + there + `, ingress: [{fromEntities: [none]}]}`,
		`{ingress: [{fromEntities: [cluster]}]}`},
}

// A policy of every dialect works, changes and goes while its agents run, which
// began before there was any definition.
func TestPoliciesOfEveryDialect(t *testing.T) {
	s := newScene(t)
	s.populate()
	s.reaches(true, "the start")
	for _, d := range dialects {
		t.Run(d.kind+"/"+d.name, func(t *testing.T) {
			s := *s
			s.T = t
			s.install(d.api)
			s.await("definition of "+d.kind, func() error { return s.send("POST", d.path, d.object(d.shut)) })
			s.reaches(false, "apply")
			if err := s.send("PATCH", d.path+"/"+d.name, "{spec: "+d.open+"}"); err != nil {
				t.Fatal(err)
			}
			s.reaches(true, "change")
			if err := s.send("PATCH", d.path+"/"+d.name, "{spec: "+d.shut+"}"); err != nil {
				t.Fatal(err)
			}
			s.reaches(false, "change back")
			if d.api == "policy" {
				s.accepted(d)
			}
			if err := s.send("DELETE", d.path+"/"+d.name, "{}"); err != nil {
				t.Fatal(err)
			}
			s.reaches(true, "delete")
		})
	}
}

// accepted waits for the condition of the policy's present generation.
func (s *scene) accepted(d dialect) {
	s.Helper()
	s.await("condition of "+d.kind, func() error {
		text, err := s.client.RESTClient().Get().AbsPath(d.path + "/" + d.name).DoRaw(s.Context())
		var object struct {
			Metadata metav1.ObjectMeta
			Status   struct{ Conditions []metav1.Condition }
		}
		if err := errors.Join(err, json.Unmarshal(text, &object)); err != nil {
			return err
		}
		for _, c := range object.Status.Conditions {
			if c.Type == "bulkhead.dev/Accepted" && c.ObservedGeneration == object.Metadata.Generation && c.Status == metav1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("it has %+v", object.Status.Conditions)
	})
}

// With a definition go its policies.
func TestDefinitionThatGoesTakesItsPoliciesAway(t *testing.T) {
	const definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/adminnetworkpolicies.policy.networking.k8s.io"
	s := newScene(t)
	s.populate()
	s.install("policy")
	d := dialects[2]
	s.await("definition of "+d.kind, func() error { return s.send("POST", d.path, d.object(d.shut)) })
	s.reaches(false, "apply")
	if err := s.client.RESTClient().Delete().AbsPath(definition).Do(context.Background()).Error(); err != nil {
		t.Fatal(err)
	}
	s.reaches(true, "the definition's end")
}

// The API server refuses what the APIs' own definitions would, and names the field.
func TestBadPoliciesAreRefused(t *testing.T) {
	s := newScene(t)
	s.namespace = "default"
	for _, row := range []struct{ api, path, kind, spec, want string }{
		{"policy", dialects[0].path, dialects[0].kind, `{tier: Middle, priority: 1, subject: {namespaces: {}}}`, "spec.tier"},
		{"policy", dialects[0].path, dialects[0].kind, `{tier: Admin, priority: 1001, subject: {namespaces: {}}}`, "spec.priority"},
		{"policy", dialects[0].path, dialects[0].kind, `{tier: Admin, priority: 1, subject: {namespaces: {}, pods: {podSelector: {}}}}`, "spec.subject"},
		{"policy", dialects[0].path, dialects[0].kind, `{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Accept, to: [{networks: [10.0.0.1]}]}]}`, "spec.egress[0].to[0].networks[0]"},
		{"policy", dialects[0].path, dialects[0].kind, `{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Accept, to: [{nodes: {}}], protocols: [{destinationNamedPort: x}]}]}`, "spec.egress[0]"},
		{"policy", dialects[3].path, dialects[3].kind, `{subject: {namespaces: {}}}`, "metadata.name"},
		{"calico", dialects[4].path, dialects[4].kind, `{ingress: [{action: Maybe}]}`, "spec.ingress[0].action"},
		{"calico", dialects[4].path, dialects[4].kind, `{types: [Sideways]}`, "spec.types[0]"},
		{"cilium", dialects[7].path, dialects[7].kind, `{endpointSelector: {}, ingress: [{fromEntities: [clusters]}]}`, "spec.ingress[0].fromEntities[0]"},
		{"cilium", dialects[7].path, dialects[7].kind, `{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: "80", protocol: TPC}]}]}]}`, "spec.ingress[0].toPorts[0].ports[0].protocol"},
	} {
		s.install(row.api)
		d := dialect{path: row.path, kind: row.kind, name: "bad"}
		s.await("refusal of "+row.spec, func() error {
			err := s.send("POST", d.path, d.object(row.spec))
			if apierrors.IsNotFound(err) {
				return err // the definition is new
			}
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%s: %v, want a refusal of %s", row.spec, err, row.want)
			}
			return nil
		})
	}
}
