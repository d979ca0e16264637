package doctor

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pod runs this program on a node. It asks for so little that the restricted Pod
// Security Standard takes it, and for its node by affinity, so that the scheduler
// has its say.
func (p Probe) pod(namespace, name, node string, args ...string) *corev1.Pod {
	const nobody = 65534
	user, yes, no := int64(nobody), true, false
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PodSpec{
			RestartPolicy:                corev1.RestartPolicyNever,
			AutomountServiceAccountToken: &no,
			Affinity:                     onNode(node),
			Containers: []corev1.Container{{
				Name: "probe", Image: p.Image, Args: append([]string{"doctor"}, args...),
				SecurityContext: &corev1.SecurityContext{
					RunAsUser: &user, RunAsNonRoot: &yes,
					AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
					Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
					SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				},
			}},
		},
	}
}

func onNode(name string) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{
				Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{name},
			}}}},
		},
	}}
}
