package kubelet

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	runtime "github.com/bulkhead-dev/bulkhead/test/cluster/container"
	"github.com/bulkhead-dev/bulkhead/test/cluster/fabric"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// A sandbox is what the containers of a pod share: network, folders, names.
type sandbox struct {
	dir       string
	hostname  string
	view      ns.View      // the network namespace alone
	port      *fabric.Port // nil on the node's own network
	addresses []netip.Addr
	volumes   map[string]string // folder of each volume, by its name
	stop      func()            // ends what keeps volumes fresh; nil: nothing does
}

// newSandbox makes the sandbox of a pod.
func (k *Kubelet) newSandbox(pod *corev1.Pod) (*sandbox, error) {
	box := &sandbox{dir: filepath.Join(k.Dir, string(pod.UID)), hostname: hostname(pod), volumes: map[string]string{}}
	err := k.connect(pod, box)
	if err == nil {
		err = k.writeNames(pod, box)
	}
	if err != nil {
		box.release(k)
		return nil, fmt.Errorf("make sandbox: %w", err)
	}
	return box, nil
}

func (k *Kubelet) connect(pod *corev1.Pod, box *sandbox) error {
	if pod.Spec.HostNetwork {
		box.view, box.addresses, box.hostname = ns.View{Net: k.View.Net}, k.Node.Addresses, k.Node.Name
		return nil
	}
	if c, port, found := hostPort(pod); found {
		return fmt.Errorf("container %s asks for host port %d: this kubelet has none; use the node's network or a service", c, port)
	}
	view, err := ns.New(ns.View{}, unix.CLONE_NEWNET, func() error { return setSysctls(pod) })
	if err != nil {
		return err
	}
	box.view = view
	if box.port, err = k.Node.Attach(view, pod.Namespace+"/"+pod.Name); err != nil {
		return err
	}
	box.addresses = box.port.Addresses
	return nil
}

func hostPort(pod *corev1.Pod) (container string, port int32, found bool) {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.HostPort != 0 {
				return c.Name, p.HostPort, true
			}
		}
	}
	return "", 0, false
}

func setSysctls(pod *corev1.Pod) error {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	for _, s := range pod.Spec.SecurityContext.Sysctls {
		name := filepath.Join("/proc/sys", strings.ReplaceAll(s.Name, ".", "/"))
		if !strings.HasPrefix(name, "/proc/sys/net/") {
			return fmt.Errorf("set sysctl %s: only those of the network are a pod's own here", s.Name)
		}
		if err := os.WriteFile(name, []byte(s.Value), 0o644); err != nil {
			return fmt.Errorf("set sysctl %s: %w", s.Name, err)
		}
	}
	return nil
}

// release takes the pod off the network and removes its folders. Nothing of the
// pod may run any more.
func (b *sandbox) release(k *Kubelet) {
	if b.stop != nil {
		b.stop()
	}
	if b.port != nil {
		k.Node.Detach(b.port)
	}
	if b.view.Net != k.View.Net {
		_ = b.view.Close()
	}
	if err := os.RemoveAll(b.dir); err != nil {
		k.Log.Warn("remove pod folder", "error", err)
	}
}

func hostname(pod *corev1.Pod) string {
	name := pod.Spec.Hostname
	if name == "" {
		name = pod.Name
	}
	// hostname(7): 64 bytes is the kernel's limit, 63 a DNS label's.
	return strings.TrimRight(name[:min(len(name), 63)], "-.")
}

// writeNames writes the files by which a pod knows its own name and others'.
func (k *Kubelet) writeNames(pod *corev1.Pod, box *sandbox) error {
	if err := os.MkdirAll(filepath.Join(box.dir, "etc"), 0o755); err != nil {
		return err
	}
	for name, content := range map[string]string{
		"hostname":    box.hostname + "\n",
		"hosts":       hostsFile(pod, box),
		"resolv.conf": k.Cluster.resolvConf(pod),
	} {
		if err := os.WriteFile(filepath.Join(box.dir, "etc", name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func hostsFile(pod *corev1.Pod, box *sandbox) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, a := range box.addresses {
		fmt.Fprintf(&b, "%s\t%s\n", a, box.hostname)
	}
	for _, alias := range pod.Spec.HostAliases {
		fmt.Fprintf(&b, "%s\t%s\n", alias.IP, strings.Join(alias.Hostnames, "\t"))
	}
	return b.String()
}

// resolvConf is the pod's resolver configuration. A pod with the node's resolver
// has none: there is no name server outside the cluster.
func (c Cluster) resolvConf(pod *corev1.Pod) string {
	policy := pod.Spec.DNSPolicy
	if policy == corev1.DNSClusterFirst && pod.Spec.HostNetwork {
		policy = corev1.DNSDefault
	}
	var servers, searches, options []string
	if policy == corev1.DNSClusterFirst || policy == corev1.DNSClusterFirstWithHostNet {
		for _, a := range c.DNS {
			servers = append(servers, a.String())
		}
		searches = []string{pod.Namespace + ".svc." + c.Domain, "svc." + c.Domain, c.Domain}
		options = []string{"ndots:5"}
	}
	if extra := pod.Spec.DNSConfig; extra != nil {
		servers = append(servers, extra.Nameservers...)
		searches = append(searches, extra.Searches...)
		for _, o := range extra.Options {
			if o.Value != nil {
				o.Name += ":" + *o.Value
			}
			options = append(options, o.Name)
		}
	}
	var b strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(searches, " "))
	}
	if len(options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(options, " "))
	}
	return b.String()
}

// mounts are a container's: the pod's names, then its volumes, on top of those
// it has already.
func (k *Kubelet) mounts(base []runtime.Mount, box *sandbox, c *corev1.Container) ([]runtime.Mount, error) {
	all := base
	for _, name := range []string{"hosts", "hostname", "resolv.conf"} {
		all = append(all, runtime.Mount{Source: filepath.Join(box.dir, "etc", name), Target: "/etc/" + name})
	}
	// What is mounted within a volume comes after the volume.
	byPath := func(a, b corev1.VolumeMount) int { return strings.Compare(a.MountPath, b.MountPath) }
	for _, m := range slices.SortedFunc(slices.Values(c.VolumeMounts), byPath) {
		source, ok := box.volumes[m.Name]
		if !ok {
			return nil, fmt.Errorf("mount volume %s: the pod has no such volume", m.Name)
		}
		if m.SubPath != "" {
			source = filepath.Join(source, filepath.Clean("/"+m.SubPath))
			if err := k.View.Do(func() error { return makeMissingFolder(source) }); err != nil {
				return nil, fmt.Errorf("mount volume %s: %w", m.Name, err)
			}
		}
		all = append(all, runtime.Mount{Source: source, Target: m.MountPath, ReadOnly: m.ReadOnly})
	}
	return all, nil
}

func makeMissingFolder(name string) error {
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	return os.MkdirAll(name, 0o777)
}
