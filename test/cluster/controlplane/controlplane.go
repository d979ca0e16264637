// Package controlplane runs a real Kubernetes control plane: etcd,
// kube-apiserver, kube-controller-manager, kube-scheduler, a kube-proxy per node,
// and the cluster's name server as pods.
//
// Everything runs in the view it is given and keeps its data in one folder; the
// etcd of a test cluster does not wait for disks.
package controlplane

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/bulkhead-dev/bulkhead/test/cluster/fabric"
	"github.com/bulkhead-dev/bulkhead/test/cluster/kubelet"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
	"github.com/bulkhead-dev/bulkhead/test/cluster/process"
)

const (
	// Port is where the API server listens on the switch's address.
	Port = 6443
	// Domain is that of service names.
	Domain = "cluster.local"

	etcdURL     = "http://127.0.0.1:2379"
	etcdPeerURL = "http://127.0.0.1:2380"
	pollPeriod  = 20 * time.Millisecond
)

// Config is what a control plane is given; every field but the last two is needed.
type Config struct {
	View        ns.View // where it runs: the switch between the nodes
	Plan        fabric.Plan
	Dir, LogDir string
	Programs    map[string]string // paths by name
	Hosts       []string          // further names and addresses of the API server
	// Bare leaves out controllers and scheduler: objects stay as they are put.
	Bare bool
	// Seed fills etcd, at its URL, before the API server starts; nil: it is empty.
	Seed func(ctx context.Context, etcd string) error
}

// A ControlPlane is a running control plane.
type ControlPlane struct {
	Config
	PKI    *PKI
	Server string // URL of the API server within the cluster
	Admin  *rest.Config

	Etcd, APIServer, Controllers, Scheduler *process.Process
}

// Start starts a control plane and returns when its API server is ready; the
// controllers and the scheduler may still be on their way.
func Start(ctx context.Context, config Config) (*ControlPlane, error) {
	address := config.Plan.Gateway()[0].Addr()
	c := &ControlPlane{Config: config, Server: "https://" + netip.AddrPortFrom(address, Port).String()}
	if err := c.writeFiles(); err != nil {
		return nil, fmt.Errorf("prepare control plane: %w", err)
	}
	c.describe()
	for _, p := range c.Processes() {
		if err := p.Start(); err != nil {
			return nil, err
		}
		if p == c.Etcd && c.Seed != nil {
			if err := c.seed(ctx); err != nil {
				return nil, fmt.Errorf("fill etcd: %w", err)
			}
		}
	}
	if err := c.awaitReady(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// seed waits for etcd and fills it.
func (c *ControlPlane) seed(ctx context.Context) error {
	for {
		err := etcd(ctx, "/v3/kv/range", map[string]any{"key": "AA=="}, nil)
		if err == nil {
			return c.Seed(ctx, etcdURL)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pollPeriod):
		}
	}
}

// Processes are the programs in the order in which they start.
func (c *ControlPlane) Processes() []*process.Process {
	if c.Bare {
		return []*process.Process{c.Etcd, c.APIServer}
	}
	return []*process.Process{c.Etcd, c.APIServer, c.Controllers, c.Scheduler}
}

// writeFiles makes every key, certificate and kubeconfig.
func (c *ControlPlane) writeFiles() (err error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	if c.PKI, err = NewPKI(); err != nil {
		return err
	}
	if err := os.WriteFile(c.file("ca.crt"), c.PKI.pem, 0o600); err != nil {
		return err
	}
	if err := c.writeServiceAccountKey(); err != nil {
		return err
	}
	if err := c.writeServer(); err != nil {
		return err
	}
	admin, err := c.user("admin", "admin", "system:masters")
	if err != nil {
		return err
	}
	c.Admin = c.PKI.RESTConfig(c.Server, admin)
	for _, name := range []string{"kube-controller-manager", "kube-scheduler", "kube-proxy"} {
		if _, err := c.user(name, "system:"+name); err != nil {
			return err
		}
	}
	return nil
}

func (c *ControlPlane) file(name string) string { return filepath.Join(c.Dir, name) }

func (c *ControlPlane) writeServiceAccountKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	text, err := encodeKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(c.file("service-account.key"), text, 0o600)
}

// writeServer identifies the API server to its clients and to the kubelets.
func (c *ControlPlane) writeServer() error {
	hosts := append([]string{"localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc." + Domain, c.Plan.APIService().String()}, c.Hosts...)
	for _, a := range c.Plan.Gateway() {
		hosts = append(hosts, a.Addr().String())
	}
	server, err := c.PKI.Issue("kube-apiserver", nil, hosts...)
	if err != nil {
		return err
	}
	client, err := c.PKI.Issue(kubelet.ClientName, nil)
	if err != nil {
		return err
	}
	return errors.Join(server.write(c.Dir, "server"), client.write(c.Dir, "kubelet-client"))
}

// user makes an identity and a kubeconfig named after file, for use within the
// cluster.
func (c *ControlPlane) user(file, name string, groups ...string) (*Identity, error) {
	identity, err := c.PKI.Issue(name, groups)
	if err != nil {
		return nil, err
	}
	return identity, c.PKI.Kubeconfig(c.Kubeconfig(file), c.Server, identity)
}

// Kubeconfig is the path of a kubeconfig for use within the cluster.
func (c *ControlPlane) Kubeconfig(user string) string { return c.file(user + ".kubeconfig") }

// WriteKubeconfig writes the administrator's kubeconfig for use from elsewhere.
func (c *ControlPlane) WriteKubeconfig(path, server string) error {
	return c.PKI.Kubeconfig(path, server, &Identity{Certificate: c.Admin.CertData, Key: c.Admin.KeyData})
}

// describe says how each program is run.
func (c *ControlPlane) describe() {
	program := func(name string, args ...string) *process.Process {
		return process.New(name, c.View, c.LogDir, nil, append([]string{c.Programs[name]}, args...)...)
	}
	c.Etcd = program("etcd", "--data-dir="+c.file("etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
		"--listen-peer-urls="+etcdPeerURL, "--initial-advertise-peer-urls="+etcdPeerURL, "--initial-cluster=default="+etcdPeerURL,
		"--quota-backend-bytes=8589934592")
	c.APIServer = program("kube-apiserver", c.apiServerFlags()...)
	// Clusters of tests delete namespaces by the dozen.
	c.Controllers = program("kube-controller-manager", append(c.commonFlags("kube-controller-manager", 10257), "--use-service-account-credentials",
		"--service-account-private-key-file="+c.file("service-account.key"), "--root-ca-file="+c.file("ca.crt"),
		"--concurrent-namespace-syncs=20", "--concurrent-serviceaccount-token-syncs=10", "--concurrent-endpoint-syncs=10",
		"--concurrent-service-endpoint-syncs=10", "--kube-api-qps=1000", "--kube-api-burst=2000",
		"--service-cluster-ip-range="+join(c.Plan.ServiceRanges()))...)
	c.Scheduler = program("kube-scheduler", c.commonFlags("kube-scheduler", 10259)...)
}

func (c *ControlPlane) apiServerFlags() []string {
	var flags []string
	if c.Bare { // nobody makes service accounts
		flags = append(flags, "--disable-admission-plugins=ServiceAccount")
	}
	return append(flags,
		"--advertise-address="+c.Plan.Gateway()[0].Addr().String(), fmt.Sprintf("--secure-port=%d", Port),
		"--etcd-servers="+etcdURL,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
		"--client-ca-file="+c.file("ca.crt"),
		"--tls-cert-file="+c.file("server.crt"), "--tls-private-key-file="+c.file("server.key"),
		"--kubelet-certificate-authority="+c.file("ca.crt"),
		"--kubelet-client-certificate="+c.file("kubelet-client.crt"), "--kubelet-client-key="+c.file("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc."+Domain,
		"--service-account-key-file="+c.file("service-account.key"),
		"--service-account-signing-key-file="+c.file("service-account.key"),
		"--service-cluster-ip-range="+join(c.Plan.ServiceRanges()),
		// The suites open hundreds of exec streams and watches at a time.
		"--max-requests-inflight=2000", "--max-mutating-requests-inflight=1000")
}

// commonFlags are those of the controllers and the scheduler. Each of them is
// alone, and nobody asks them for metrics.
func (c *ControlPlane) commonFlags(name string, port int) []string {
	return []string{
		"--kubeconfig=" + c.Kubeconfig(name), "--leader-elect=false", "--authentication-skip-lookup",
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=" + c.file("server.crt"), "--tls-private-key-file=" + c.file("server.key"),
	}
}

func join(ranges []netip.Prefix) string {
	words := make([]string, len(ranges))
	for i, r := range ranges {
		words[i] = r.String()
	}
	return strings.Join(words, ",")
}

// Proxy describes the kube-proxy of a node.
func (c *ControlPlane) Proxy(node string, view ns.View, mode string) *process.Process {
	return process.New("kube-proxy/"+node, view, c.LogDir, nil, c.Programs["kube-proxy"],
		"--kubeconfig="+c.Kubeconfig("kube-proxy"), "--hostname-override="+node, "--proxy-mode="+mode,
		"--cluster-cidr="+join(c.Plan.ClusterRanges()),
		// Only the machine's first network namespace may size the table.
		"--conntrack-max-per-core=0")
}

// awaitReady waits for the API server, as long as it runs.
func (c *ControlPlane) awaitReady(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.PKI.Pool()}}}
	defer client.CloseIdleConnections()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Server+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		if status := c.APIServer.Status(); !status.Running {
			return fmt.Errorf("kube-apiserver ended with %s: see %s", status.LastExit, status.Log)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for kube-apiserver: %w: see %s", ctx.Err(), c.APIServer.Status().Log)
		case <-time.After(pollPeriod):
		}
	}
}

// Client is the administrator's.
func (c *ControlPlane) Client() (kubernetes.Interface, error) {
	return kubernetes.NewForConfig(c.Admin)
}

// NodeIdentity is a kubelet's, to its clients and to the API server.
func (c *ControlPlane) NodeIdentity(name string, addresses []netip.Addr) (*Identity, error) {
	hosts := []string{name}
	for _, a := range addresses {
		hosts = append(hosts, a.String())
	}
	return c.PKI.Issue("system:node:"+name, []string{"system:nodes"}, hosts...)
}

// EngineGroup is the group of every node's engine; Addons lets it do anything.
const EngineGroup = "test:engines"

// EngineKubeconfig makes the kubeconfig of a node's engine.
func (c *ControlPlane) EngineKubeconfig(node string) (path string, err error) {
	name := "engine-" + node
	_, err = c.user(name, "test:engine:"+node, EngineGroup)
	return c.Kubeconfig(name), err
}
