// Package cilium compares our reading of Cilium's policies with Cilium's own: it
// takes the same objects through the packages of Cilium that the agent decides by.
//
// Theirs is what those packages make of some objects in some cluster. The package
// is a module of its own, for what it imports is many times what the product does.
// Nothing in it may be used by several goroutines, since Cilium's options are
// global.
package cilium

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"sync"

	"github.com/cilium/cilium/pkg/crypto/certificatemanager"
	"github.com/cilium/cilium/pkg/endpoint/regeneration"
	envoypolicy "github.com/cilium/cilium/pkg/envoy/policy"
	"github.com/cilium/cilium/pkg/identity/identitymanager"
	ipcachetypes "github.com/cilium/cilium/pkg/ipcache/types"
	"github.com/cilium/cilium/pkg/k8s"
	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	slim_networkingv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/networking/v1"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	policytypes "github.com/cilium/cilium/pkg/policy/types"
	policyutils "github.com/cilium/cilium/pkg/policy/utils"
	testpolicy "github.com/cilium/cilium/pkg/testutils/policy"
	"github.com/cilium/cilium/pkg/u8proto"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// clusterName is Cilium's own for a cluster without a name.
const clusterName = "default"

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func init() {
	// The agent's defaults.
	option.Config.EnableIPv4, option.Config.EnableIPv6 = true, true
	option.Config.EnableICMPRules, option.Config.EnableL7Proxy = true, true
	option.Config.EnableNonDefaultDenyPolicies = true
	option.Config.UnsafeDaemonConfigOption.AllowLocalhost = option.AllowLocalhostAlways
	policy.SetPolicyEnabled(option.DefaultEnforcement)
	api.InitEntities(clusterName)
}

// Theirs is Cilium's opinion on a cluster with policies.
type Theirs struct {
	identities *identities
	repository *policy.Repository
	owners     map[cluster.Name]*policy.EndpointPolicy
}

// NewTheirs takes objects through Cilium's readers, with the option to select nodes
// by label or without. The error says which object Cilium refuses.
func NewTheirs(snapshot *cluster.Snapshot, objects *gen.CiliumObjects, outside []netip.Addr, nodes bool) (*Theirs, error) {
	option.Config.EnableNodeSelectorLabels = nodes
	t := &Theirs{identities: newIdentities(snapshot, objects.Groups, outside, nodes), owners: map[cluster.Name]*policy.EndpointPolicy{}}
	manager := identitymanager.NewIDManager(quiet)
	secrets := certificatemanager.NewMockSecretManagerInline()
	t.repository = policy.NewPolicyRepository(quiet, t.identities.labels(), nil,
		envoypolicy.NewEnvoyL7RulesTranslator(quiet, secrets), manager, testpolicy.NewPolicyMetricsNoop())
	t.repository.SetNamedPortsGetter(t.identities)
	t.repository.GetSelectorCache().UpdateIdentities(t.identities.labels(), nil, &sync.WaitGroup{})
	t.repository.UpdateIdentities(t.identities.labels(), nil)
	return t, t.add(objects)
}

func (t *Theirs) add(objects *gen.CiliumObjects) error {
	for _, p := range objects.NetworkPolicies {
		var theirs slim_networkingv1.NetworkPolicy
		if err := convert(p, &theirs); err != nil {
			return err
		}
		entries, err := k8s.ParseNetworkPolicy(quiet, clusterName, &theirs)
		if err != nil {
			return fmt.Errorf("read NetworkPolicy %s/%s: %w", p.Namespace, p.Name, err)
		}
		t.replace(entries, ipcachetypes.ResourceKindNetpol, p.Namespace, p.Name)
	}
	for _, p := range objects.Policies {
		var theirs ciliumv2.CiliumNetworkPolicy
		if err := convert(p, &theirs); err != nil {
			return err
		}
		rules, err := theirs.Parse(quiet, clusterName)
		if err != nil {
			return fmt.Errorf("read CiliumNetworkPolicy %s/%s: %w", p.Namespace, p.Name, err)
		}
		t.replace(policyutils.RulesToPolicyEntries(rules), ipcachetypes.ResourceKindCNP, p.Namespace, p.Name)
	}
	for _, p := range objects.Clusterwide {
		var theirs ciliumv2.CiliumClusterwideNetworkPolicy
		if err := convert(p, &theirs); err != nil {
			return err
		}
		rules, err := theirs.Parse(quiet, clusterName)
		if err != nil {
			return fmt.Errorf("read CiliumClusterwideNetworkPolicy %s: %w", p.Name, err)
		}
		t.replace(policyutils.RulesToPolicyEntries(rules), ipcachetypes.ResourceKindCCNP, "", p.Name)
	}
	return nil
}

func (t *Theirs) replace(entries policytypes.PolicyEntries, kind ipcachetypes.ResourceKind, namespace, name string) {
	t.repository.ReplaceByResource(entries, ipcachetypes.NewResourceID(kind, namespace, name))
}

// convert takes an object through its text, as the API server does.
func convert(from, to any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return fmt.Errorf("write %T: %w", from, err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("read %T: %w", to, err)
	}
	return nil
}

// Allows tells whether the policies of the connection's pod let it pass in a
// direction. The pod must be on the pod network.
func (t *Theirs) Allows(c verdict.Connection, d traffic.Direction) (bool, error) {
	subject, other := c.To, c.From
	key := policy.IngressKey()
	if d == traffic.Egress {
		subject, other, key = c.From, c.To, policy.EgressKey()
	}
	distilled, err := t.policyOf(subject.Pod)
	if err != nil {
		return false, err
	}
	port := c.Port
	if c.Protocol.HasTypes() {
		port = c.Port >> 8 // Cilium knows no codes
	}
	key = key.WithIdentity(t.identities.of(other, subject.Pod.Node)).WithPortProto(u8proto.U8proto(c.Protocol), port)
	entry, _, _ := distilled.Lookup(key)
	return !entry.IsDeny(), nil
}

// policyOf is what the datapath is told of a pod.
func (t *Theirs) policyOf(pod *cluster.Pod) (*policy.EndpointPolicy, error) {
	if known, ok := t.owners[pod.Name]; ok {
		return known, nil
	}
	resolved, err := t.repository.ResolvePolicy(t.identities.ofPod(pod))
	if err != nil {
		return nil, fmt.Errorf("resolve policies of pod %s: %w", pod.Name, err)
	}
	distilled := resolved.DistillPolicy(quiet, &owner{pod: pod, id: uint64(t.identities.pods[pod.Name].ID)},
		map[string]uint16{policy.FallbackRedirectID: math.MaxUint16})
	distilled.Ready()
	distilled.Detach(quiet)
	t.owners[pod.Name] = distilled
	return distilled, nil
}

// owner is a pod as Cilium's policies ask it.
type owner struct {
	pod *cluster.Pod
	id  uint64
}

func (o *owner) GetID() uint64 { return o.id }

// GetIngressNamedPort is the first, for Cilium knows one port of a name.
func (o *owner) GetIngressNamedPort(name string, proto u8proto.U8proto) uint16 {
	for _, number := range o.pod.Resolve(name, traffic.Protocol(proto)) {
		return number
	}
	return 0
}

func (o *owner) PolicyDebug(string, ...any)                  {}
func (o *owner) IsHost() bool                                { return false }
func (o *owner) PreviousMapStateSizes() policy.MapStateSizes { return policy.MapStateSizes{} }

func (o *owner) RegenerateIfAlive(*regeneration.ExternalRegenerationMetadata) <-chan bool {
	done := make(chan bool)
	close(done)
	return done
}

var _ policy.PolicyOwner = (*owner)(nil)
