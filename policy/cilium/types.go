package cilium

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// NetworkPolicy is a namespace's policy, or several in one object.
type NetworkPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              *Rule  `json:"spec,omitempty"`
	Specs             []Rule `json:"specs,omitempty"`
}

// ClusterwideNetworkPolicy is a cluster-wide policy, or several in one object.
type ClusterwideNetworkPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              *Rule  `json:"spec,omitempty"`
	Specs             []Rule `json:"specs,omitempty"`
}

// Rule is what is called a policy elsewhere: a subject and its rules. Of the lists
// of peers an empty one means nobody, an absent one anybody.
type Rule struct {
	EndpointSelector  *metav1.LabelSelector `json:"endpointSelector,omitempty"`
	NodeSelector      *metav1.LabelSelector `json:"nodeSelector,omitempty"`
	Ingress           []IngressRule         `json:"ingress,omitempty"`
	IngressDeny       []IngressDenyRule     `json:"ingressDeny,omitempty"`
	Egress            []EgressRule          `json:"egress,omitempty"`
	EgressDeny        []EgressDenyRule      `json:"egressDeny,omitempty"`
	Labels            []Label               `json:"labels,omitempty"`
	EnableDefaultDeny DefaultDeny           `json:"enableDefaultDeny,omitzero"`
	Description       string                `json:"description,omitempty"`
	Log               LogConfig             `json:"log,omitzero"`
}

// DefaultDeny says whether a policy isolates what it selects; nil: it does in the
// directions of which it has rules.
type DefaultDeny struct {
	Ingress *bool `json:"ingress,omitempty"`
	Egress  *bool `json:"egress,omitempty"`
}

// LogConfig is a text for the flows that the policy decides.
type LogConfig struct {
	Value string `json:"value,omitempty"`
}

// Label is a label of the policy itself.
type Label struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Source string `json:"source,omitempty"`
}

// IngressPeers are the other ends of a rule for ingress.
type IngressPeers struct {
	FromEndpoints []metav1.LabelSelector `json:"fromEndpoints,omitzero"`
	FromRequires  []string               `json:"fromRequires,omitempty"`
	FromCIDR      []string               `json:"fromCIDR,omitzero"`
	FromCIDRSet   []CIDRRule             `json:"fromCIDRSet,omitzero"`
	FromEntities  []string               `json:"fromEntities,omitzero"`
	FromGroups    []Group                `json:"fromGroups,omitempty"`
	FromNodes     []metav1.LabelSelector `json:"fromNodes,omitzero"`
}

// IngressRule allows.
type IngressRule struct {
	IngressPeers   `json:",inline"`
	ToPorts        []PortRule      `json:"toPorts,omitempty"`
	ICMPs          []ICMPRule      `json:"icmps,omitempty"`
	Authentication *Authentication `json:"authentication,omitempty"`
}

// IngressDenyRule denies.
type IngressDenyRule struct {
	IngressPeers `json:",inline"`
	ToPorts      []PortDenyRule `json:"toPorts,omitempty"`
	ICMPs        []ICMPRule     `json:"icmps,omitempty"`
}

// EgressPeers are the other ends of a rule for egress.
type EgressPeers struct {
	ToEndpoints []metav1.LabelSelector `json:"toEndpoints,omitzero"`
	ToRequires  []string               `json:"toRequires,omitempty"`
	ToCIDR      []string               `json:"toCIDR,omitzero"`
	ToCIDRSet   []CIDRRule             `json:"toCIDRSet,omitzero"`
	ToEntities  []string               `json:"toEntities,omitzero"`
	ToServices  []Service              `json:"toServices,omitempty"`
	ToGroups    []Group                `json:"toGroups,omitempty"`
	ToNodes     []metav1.LabelSelector `json:"toNodes,omitzero"`
}

// EgressRule allows.
type EgressRule struct {
	EgressPeers    `json:",inline"`
	ToPorts        []PortRule      `json:"toPorts,omitempty"`
	ToFQDNs        []FQDNSelector  `json:"toFQDNs,omitempty"`
	ICMPs          []ICMPRule      `json:"icmps,omitempty"`
	Authentication *Authentication `json:"authentication,omitempty"`
}

// EgressDenyRule denies.
type EgressDenyRule struct {
	EgressPeers `json:",inline"`
	ToPorts     []PortDenyRule `json:"toPorts,omitempty"`
	ICMPs       []ICMPRule     `json:"icmps,omitempty"`
}

// CIDRRule is a block, or groups of blocks, with parts cut out.
type CIDRRule struct {
	CIDR              string                `json:"cidr,omitempty"`
	CIDRGroupRef      string                `json:"cidrGroupRef,omitempty"`
	CIDRGroupSelector *metav1.LabelSelector `json:"cidrGroupSelector,omitempty"`
	Except            []string              `json:"except,omitempty"`
}

// Service names or selects services.
type Service struct {
	K8sServiceSelector *ServiceSelector `json:"k8sServiceSelector,omitempty"`
	K8sService         *ServiceName     `json:"k8sService,omitempty"`
}

// ServiceName is a service's name; an empty namespace means all.
type ServiceName struct {
	ServiceName string `json:"serviceName,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
}

// ServiceSelector selects services by their labels; an empty namespace means all.
type ServiceSelector struct {
	Selector  metav1.LabelSelector `json:"selector"`
	Namespace string               `json:"namespace,omitempty"`
}

// Group names addresses that a cloud provider knows.
type Group struct {
	AWS *AWSGroup `json:"aws,omitempty"`
}

// AWSGroup selects network interfaces of AWS.
type AWSGroup struct {
	Labels              map[string]string `json:"labels,omitempty"`
	SecurityGroupsIDs   []string          `json:"securityGroupsIds,omitempty"`
	SecurityGroupsNames []string          `json:"securityGroupsNames,omitempty"`
	Region              string            `json:"region,omitempty"`
}

// FQDNSelector picks domain names.
type FQDNSelector struct {
	MatchName    string `json:"matchName,omitempty"`
	MatchPattern string `json:"matchPattern,omitempty"`
}

// PortRule is ports, and what connections on them must say.
type PortRule struct {
	Ports          []PortProtocol `json:"ports,omitempty"`
	TerminatingTLS *TLSContext    `json:"terminatingTLS,omitempty"`
	OriginatingTLS *TLSContext    `json:"originatingTLS,omitempty"`
	ServerNames    []string       `json:"serverNames,omitempty"`
	Listener       *Listener      `json:"listener,omitempty"`
	Rules          *L7Rules       `json:"rules,omitempty"`
}

// PortDenyRule is ports.
type PortDenyRule struct {
	Ports []PortProtocol `json:"ports,omitempty"`
}

// PortProtocol is a port, a range, or a port's name.
type PortProtocol struct {
	Port     string `json:"port,omitempty"`
	EndPort  int32  `json:"endPort,omitempty"`
	Protocol string `json:"protocol,omitempty"`
}

// TLSContext says how a proxy speaks TLS.
type TLSContext struct {
	Secret      *Secret `json:"secret"`
	TrustedCA   string  `json:"trustedCA,omitempty"`
	Certificate string  `json:"certificate,omitempty"`
	PrivateKey  string  `json:"privateKey,omitempty"`
}

// Secret names a secret.
type Secret struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Listener names a listener of Envoy.
type Listener struct {
	EnvoyConfig *EnvoyConfig `json:"envoyConfig"`
	Name        string       `json:"name"`
	Priority    uint8        `json:"priority,omitempty"`
}

// EnvoyConfig names a configuration of Envoy.
type EnvoyConfig struct {
	Kind string `json:"kind,omitempty"`
	Name string `json:"name"`
}

// L7Rules are what requests must say. L7Proto, L7 and Kafka are of releases
// before 1.20.
type L7Rules struct {
	HTTP    []HTTPRule          `json:"http,omitempty"`
	DNS     []FQDNSelector      `json:"dns,omitempty"`
	Kafka   []KafkaRule         `json:"kafka,omitempty"`
	L7Proto string              `json:"l7proto,omitempty"`
	L7      []map[string]string `json:"l7,omitempty"`
}

// HTTPRule is what an HTTP request must be.
type HTTPRule struct {
	Path          string        `json:"path,omitempty"`
	Method        string        `json:"method,omitempty"`
	Host          string        `json:"host,omitempty"`
	Headers       []string      `json:"headers,omitempty"`
	HeaderMatches []HeaderMatch `json:"headerMatches,omitempty"`
}

// HeaderMatch is a header that a request must have.
type HeaderMatch struct {
	Mismatch string  `json:"mismatch,omitempty"`
	Name     string  `json:"name"`
	Secret   *Secret `json:"secret,omitempty"`
	Value    string  `json:"value,omitempty"`
}

// KafkaRule is what a Kafka request must be.
type KafkaRule struct {
	Role       string `json:"role,omitempty"`
	APIKey     string `json:"apiKey,omitempty"`
	APIVersion string `json:"apiVersion,omitempty"`
	ClientID   string `json:"clientID,omitempty"`
	Topic      string `json:"topic,omitempty"`
}

// ICMPRule is types of ICMP.
type ICMPRule struct {
	Fields []ICMPField `json:"fields,omitempty"`
}

// ICMPField is a type of ICMP by its number or name, of IPv4 unless Family says
// IPv6.
type ICMPField struct {
	Family string              `json:"family,omitempty"`
	Type   *intstr.IntOrString `json:"type"`
}

// Authentication is the proof of identity that a connection needs.
type Authentication struct {
	Mode string `json:"mode"`
}

// CIDRGroup is a named set of networks.
type CIDRGroup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              CIDRGroupSpec `json:"spec"`
}

// CIDRGroupSpec is the networks.
type CIDRGroupSpec struct {
	ExternalCIDRs []string `json:"externalCIDRs"`
}
