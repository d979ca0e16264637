package kubelet

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster/image"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// variables are an environment under construction: a name's last value wins, in
// the place of its first.
type variables struct {
	names  []string
	values map[string]string
}

func (v *variables) set(name, value string) {
	if _, known := v.values[name]; !known {
		v.names = append(v.names, name)
	}
	v.values[name] = value
}

func (v *variables) list() []string {
	all := make([]string, len(v.names))
	for i, name := range v.names {
		all[i] = name + "=" + v.values[name]
	}
	return all
}

// environment is a container's: the image's, the API server's address, and what
// the container names. Variables for other services (enableServiceLinks) are
// left out.
func (k *Kubelet) environment(pod *corev1.Pod, box *sandbox, c *corev1.Container, img *image.Image) ([]string, error) {
	v := &variables{values: map[string]string{}}
	v.set("PATH", defaultPath)
	v.set("HOSTNAME", box.hostname)
	v.set("HOME", "/root")
	for _, variable := range img.Environment {
		name, value, _ := strings.Cut(variable, "=")
		v.set(name, value)
	}
	v.set("KUBERNETES_SERVICE_HOST", k.Cluster.API.String())
	v.set("KUBERNETES_SERVICE_PORT", "443")
	v.set("KUBERNETES_SERVICE_PORT_HTTPS", "443")
	for _, from := range c.EnvFrom {
		if err := k.setAll(v, pod, from); err != nil {
			return nil, err
		}
	}
	for _, variable := range c.Env {
		value, set, err := k.variable(pod, box, c, variable)
		if err != nil {
			return nil, fmt.Errorf("set variable %s: %w", variable.Name, err)
		}
		if set {
			v.set(variable.Name, expand(value, v.values))
		}
	}
	return v.list(), nil
}

// setAll sets every entry of a config map or secret.
func (k *Kubelet) setAll(v *variables, pod *corev1.Pod, from corev1.EnvFromSource) error {
	var data map[string]string
	var err error
	switch {
	case from.ConfigMapRef != nil:
		data, err = k.configMap(pod.Namespace, from.ConfigMapRef.Name, deref(from.ConfigMapRef.Optional, false))
	case from.SecretRef != nil:
		data, err = k.secret(pod.Namespace, from.SecretRef.Name, deref(from.SecretRef.Optional, false))
	}
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(data) {
		v.set(from.Prefix+name, data[name])
	}
	return nil
}

// variable is the value of one variable; set is false for an optional one that
// is not there.
func (k *Kubelet) variable(pod *corev1.Pod, box *sandbox, c *corev1.Container, variable corev1.EnvVar) (value string, set bool, err error) {
	from := variable.ValueFrom
	switch {
	case from == nil:
		return variable.Value, true, nil
	case from.FieldRef != nil:
		value, err = k.field(pod, box, from.FieldRef.FieldPath)
		return value, true, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		data, err := k.configMap(pod.Namespace, ref.Name, deref(ref.Optional, false))
		return pick(data, err, ref.Key, deref(ref.Optional, false))
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		data, err := k.secret(pod.Namespace, ref.Name, deref(ref.Optional, false))
		return pick(data, err, ref.Key, deref(ref.Optional, false))
	case from.ResourceFieldRef != nil:
		value, err = resourceField(c, from.ResourceFieldRef)
		return value, true, err
	}
	return "", false, fmt.Errorf("its source is of a kind that this kubelet does not know")
}

func pick(data map[string]string, err error, key string, optional bool) (string, bool, error) {
	value, found := data[key]
	if err == nil && !found && !optional {
		err = fmt.Errorf("key %s is missing", key)
	}
	return value, found, err
}

// field is what the downward API says of a pod.
func (k *Kubelet) field(pod *corev1.Pod, box *sandbox, path string) (string, error) {
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return formatMap(pod.Labels), nil
	case "metadata.annotations":
		return formatMap(pod.Annotations), nil
	case "spec.nodeName":
		return k.Node.Name, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP":
		return box.addresses[0].String(), nil
	case "status.podIPs":
		return joinAddresses(box.addresses), nil
	case "status.hostIP":
		return k.Node.Addresses[0].String(), nil
	case "status.hostIPs":
		return joinAddresses(k.Node.Addresses), nil
	}
	for prefix, of := range map[string]map[string]string{"metadata.labels['": pod.Labels, "metadata.annotations['": pod.Annotations} {
		if key, ok := strings.CutPrefix(path, prefix); ok {
			return of[strings.TrimSuffix(key, "']")], nil
		}
	}
	return "", fmt.Errorf("field %s is none that a pod can be told", path)
}

func joinAddresses(addresses []netip.Addr) string {
	words := make([]string, len(addresses))
	for i, a := range addresses {
		words[i] = a.String()
	}
	return strings.Join(words, ",")
}

// formatMap writes labels or annotations the way the downward API does.
func formatMap(m map[string]string) string {
	lines := make([]string, 0, len(m))
	for _, key := range sortedKeys(m) {
		lines = append(lines, fmt.Sprintf("%s=%q", key, m[key]))
	}
	return strings.Join(lines, "\n")
}

func resourceField(c *corev1.Container, ref *corev1.ResourceFieldSelector) (string, error) {
	list, name, ok := strings.Cut(ref.Resource, ".")
	quantities := map[string]corev1.ResourceList{"limits": c.Resources.Limits, "requests": c.Resources.Requests}[list]
	if !ok || list != "limits" && list != "requests" {
		return "", fmt.Errorf("resource %s is neither limits.* nor requests.*", ref.Resource)
	}
	quantity := quantities[corev1.ResourceName(name)]
	divisor := ref.Divisor.Value()
	if divisor == 0 {
		divisor = 1
	}
	return fmt.Sprint((quantity.Value() + divisor - 1) / divisor), nil
}

func (k *Kubelet) configMap(namespace, name string, optional bool) (map[string]string, error) {
	object, err := k.Client.CoreV1().ConfigMaps(namespace).Get(context.Background(), name, metav1.GetOptions{})
	if optional && apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get config map %s: %w", name, err)
	}
	data := map[string]string{}
	for key, value := range object.BinaryData {
		data[key] = string(value)
	}
	for key, value := range object.Data {
		data[key] = value
	}
	return data, nil
}

func (k *Kubelet) secret(namespace, name string, optional bool) (map[string]string, error) {
	object, err := k.Client.CoreV1().Secrets(namespace).Get(context.Background(), name, metav1.GetOptions{})
	if optional && apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get secret %s: %w", name, err)
	}
	data := map[string]string{}
	for key, value := range object.Data {
		data[key] = string(value)
	}
	return data, nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// expand replaces $(NAME) by the variable's value; unknown names stay, and $$
// is a dollar sign that begins nothing.
func expand(s string, values map[string]string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, rest, closed := strings.Cut(strings.TrimPrefix(after, "("), ")")
		value, known := values[name]
		switch {
		case strings.HasPrefix(after, "$"):
			b.WriteString("$")
			s = after[1:]
		case strings.HasPrefix(after, "(") && closed && known:
			b.WriteString(value)
			s = rest
		default:
			b.WriteString("$")
			s = after
		}
	}
}
