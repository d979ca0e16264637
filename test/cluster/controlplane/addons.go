package controlplane

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"text/template"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
)

//go:embed coredns.yaml
var corednsYAML string

// AllowEngines lets the engines do anything: what an engine really needs is for
// its own installation to show.
func AllowEngines(ctx context.Context, client kubernetes.Interface) error {
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: EngineGroup},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: EngineGroup}},
	}
	return create(ctx, client, binding)
}

// InstallDNS creates the cluster's name server.
func (c *ControlPlane) InstallDNS(ctx context.Context, client kubernetes.Interface) error {
	text, err := template.New("coredns").Parse(corednsYAML)
	if err != nil {
		return fmt.Errorf("read name server manifest: %w", err)
	}
	var manifest bytes.Buffer
	if err := text.Execute(&manifest, map[string]any{"Domain": Domain, "DNS": c.Plan.DNSService()}); err != nil {
		return fmt.Errorf("read name server manifest: %w", err)
	}
	decoder := yaml.NewYAMLOrJSONDecoder(&manifest, 4096)
	for {
		var raw runtime.RawExtension
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read name server manifest: %w", err)
		}
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(raw.Raw, nil, nil)
		if err != nil {
			return fmt.Errorf("read name server manifest: %w", err)
		}
		if err := create(ctx, client, object); err != nil {
			return err
		}
	}
}

func create(ctx context.Context, client kubernetes.Interface, object runtime.Object) (err error) {
	options := metav1.CreateOptions{}
	switch o := object.(type) {
	case *corev1.ServiceAccount:
		_, err = client.CoreV1().ServiceAccounts(o.Namespace).Create(ctx, o, options)
	case *corev1.ConfigMap:
		_, err = client.CoreV1().ConfigMaps(o.Namespace).Create(ctx, o, options)
	case *corev1.Service:
		_, err = client.CoreV1().Services(o.Namespace).Create(ctx, o, options)
	case *appsv1.Deployment:
		_, err = client.AppsV1().Deployments(o.Namespace).Create(ctx, o, options)
	case *rbacv1.ClusterRole:
		_, err = client.RbacV1().ClusterRoles().Create(ctx, o, options)
	case *rbacv1.ClusterRoleBinding:
		_, err = client.RbacV1().ClusterRoleBindings().Create(ctx, o, options)
	default:
		err = errors.New("unknown kind")
	}
	if err != nil {
		return fmt.Errorf("create %T: %w", object, err)
	}
	return nil
}
