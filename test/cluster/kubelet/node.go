package kubelet

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster/fabric"
)

const (
	leaseNamespace = "kube-node-lease"
	leaseDuration  = 40 * time.Second
	leasePeriod    = 10 * time.Second
)

// register makes the node's object, or brings an older one up to date.
func (k *Kubelet) register(ctx context.Context) error {
	nodes := k.Client.CoreV1().Nodes()
	node, err := nodes.Create(ctx, k.nodeObject(), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		node, err = nodes.Get(ctx, k.Node.Name, metav1.GetOptions{})
	}
	if err != nil {
		return err
	}
	node.Status = k.nodeStatus()
	_, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}

func (k *Kubelet) nodeObject() *corev1.Node {
	ranges := k.Node.PodRanges()
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: k.Node.Name, Labels: map[string]string{
			corev1.LabelHostname: k.Node.Name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
		}},
		Spec:   corev1.NodeSpec{PodCIDR: ranges[0], PodCIDRs: ranges},
		Status: k.nodeStatus(),
	}
}

func (k *Kubelet) nodeStatus() corev1.NodeStatus {
	room := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("64"),
		corev1.ResourceMemory:           resource.MustParse("256Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("256Gi"),
		corev1.ResourcePods:             resource.MustParse(fmt.Sprint(fabric.PodsPerNode)),
	}
	now := metav1.Now()
	status := corev1.NodeStatus{
		Capacity: room, Allocatable: room,
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
			Message: "test kubelet is ready", LastHeartbeatTime: now, LastTransitionTime: now}},
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: k.Node.Name}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: Port}},
		NodeInfo: corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: "amd64", KubeletVersion: k.Version,
			ContainerRuntimeVersion: "namespaces://1"},
	}
	for _, a := range k.Node.Addresses {
		status.Addresses = append(status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.String()})
	}
	return status
}

// renewLease shows that the node is alive, and that it is so again when it was
// taken for dead. What fails is tried again at the next turn: the API server may
// be down on purpose.
func (k *Kubelet) renewLease(ctx context.Context) {
	for {
		err := k.renewLeaseOnce(ctx)
		if err == nil {
			err = k.recover(ctx)
		}
		if err != nil && ctx.Err() == nil {
			k.Log.Warn("renew node lease", "node", k.Node.Name, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(leasePeriod):
		}
	}
}

// recover reports the node again if it does not count as ready: the node
// controller marks nodes whose lease has run out, and waits for their word.
func (k *Kubelet) recover(ctx context.Context) error {
	node, err := k.Client.CoreV1().Nodes().Get(ctx, k.Node.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return k.register(ctx)
}

func (k *Kubelet) renewLeaseOnce(ctx context.Context) error {
	leases := k.Client.CoordinationV1().Leases(leaseNamespace)
	seconds, now := int32(leaseDuration.Seconds()), metav1.NowMicro()
	spec := coordinationv1.LeaseSpec{HolderIdentity: &k.Node.Name, LeaseDurationSeconds: &seconds, RenewTime: &now}
	lease, err := leases.Get(ctx, k.Node.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: k.Node.Name, Namespace: leaseNamespace}, Spec: spec}
		_, err = leases.Create(ctx, lease, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec = spec
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}
