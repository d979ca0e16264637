package manifest

import "k8s.io/apimachinery/pkg/util/intstr"

// The types below are the parts of API objects that network policy needs. What
// they leave out is not looked at, so that dumps of clusters of any version
// load.

type objectMeta struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace"`
	Labels          map[string]string `json:"labels"`
	OwnerReferences []ownerReference  `json:"ownerReferences"`
}

type ownerReference struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Controller bool   `json:"controller"`
}

type namespaceBody struct {
	Metadata objectMeta `json:"metadata"`
}

type nodeBody struct {
	Metadata objectMeta `json:"metadata"`
	Spec     struct {
		PodCIDR  string   `json:"podCIDR"`
		PodCIDRs []string `json:"podCIDRs"`
	} `json:"spec"`
	Status struct {
		Addresses []struct {
			Type    string `json:"type"`
			Address string `json:"address"`
		} `json:"addresses"`
	} `json:"status"`
}

type podBody struct {
	Metadata objectMeta `json:"metadata"`
	Spec     podSpec    `json:"spec"`
	Status   podStatus  `json:"status"`
}

type podSpec struct {
	NodeName           string            `json:"nodeName"`
	NodeSelector       map[string]string `json:"nodeSelector"`
	HostNetwork        bool              `json:"hostNetwork"`
	ServiceAccountName string            `json:"serviceAccountName"`
	InitContainers     []container       `json:"initContainers"`
	Containers         []container       `json:"containers"`
}

type container struct {
	Name          string          `json:"name"`
	RestartPolicy string          `json:"restartPolicy"` // "Always": an init container that goes on running
	Ports         []containerPort `json:"ports"`
}

type containerPort struct {
	Name          string `json:"name"`
	Protocol      string `json:"protocol"`
	ContainerPort int32  `json:"containerPort"`
}

type podStatus struct {
	Phase   string `json:"phase"`
	HostIP  string `json:"hostIP"`
	HostIPs []ip   `json:"hostIPs"`
	PodIP   string `json:"podIP"`
	PodIPs  []ip   `json:"podIPs"`
}

type ip struct {
	IP string `json:"ip"`
}

type podTemplate struct {
	Metadata objectMeta `json:"metadata"`
	Spec     podSpec    `json:"spec"`
}

// workloadBody is a Deployment, ReplicaSet, StatefulSet or DaemonSet.
type workloadBody struct {
	Metadata objectMeta `json:"metadata"`
	Spec     struct {
		Replicas *int32 `json:"replicas"`
		Ordinals struct {
			Start int32 `json:"start"`
		} `json:"ordinals"` // of a StatefulSet
		Template podTemplate `json:"template"`
	} `json:"spec"`
}

type jobBody struct {
	Metadata objectMeta `json:"metadata"`
	Spec     jobSpec    `json:"spec"`
	Status   struct {
		Conditions []condition `json:"conditions"`
	} `json:"status"`
}

type condition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

type jobSpec struct {
	Parallelism *int32      `json:"parallelism"`
	Completions *int32      `json:"completions"`
	Suspend     bool        `json:"suspend"`
	Template    podTemplate `json:"template"`
}

type cronJobBody struct {
	Metadata objectMeta `json:"metadata"`
	Spec     struct {
		Suspend     bool `json:"suspend"`
		JobTemplate struct {
			Spec jobSpec `json:"spec"`
		} `json:"jobTemplate"`
	} `json:"spec"`
}

type serviceBody struct {
	Metadata objectMeta `json:"metadata"`
	Spec     struct {
		Type           string            `json:"type"`
		ClusterIP      string            `json:"clusterIP"`
		ClusterIPs     []string          `json:"clusterIPs"`
		IPFamilies     []string          `json:"ipFamilies"`
		IPFamilyPolicy string            `json:"ipFamilyPolicy"`
		Selector       map[string]string `json:"selector"`
		Ports          []servicePort     `json:"ports"`
		// AllocateLoadBalancerNodePorts is true unless it is set.
		AllocateLoadBalancerNodePorts *bool `json:"allocateLoadBalancerNodePorts"`
	} `json:"spec"`
}

type servicePort struct {
	Name       string              `json:"name"`
	Protocol   string              `json:"protocol"`
	Port       int32               `json:"port"`
	TargetPort *intstr.IntOrString `json:"targetPort"`
	NodePort   int32               `json:"nodePort"`
}

func (b *namespaceBody) meta() *objectMeta { return &b.Metadata }
func (b *nodeBody) meta() *objectMeta      { return &b.Metadata }
func (b *podBody) meta() *objectMeta       { return &b.Metadata }
func (b *workloadBody) meta() *objectMeta  { return &b.Metadata }
func (b *jobBody) meta() *objectMeta       { return &b.Metadata }
func (b *cronJobBody) meta() *objectMeta   { return &b.Metadata }
func (b *serviceBody) meta() *objectMeta   { return &b.Metadata }
