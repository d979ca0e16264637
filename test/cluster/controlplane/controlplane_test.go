package controlplane

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulkhead-dev/bulkhead/test/cluster/fabric"
)

func plan(t *testing.T, families string) fabric.Plan {
	t.Helper()
	f, err := fabric.ParseFamilies(families)
	if err != nil {
		t.Fatal(err)
	}
	return fabric.Plan{Families: f}
}

func TestIssuedCertificatesAreTrusted(t *testing.T) {
	pki, err := NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	identity, err := pki.Issue("system:node:node-1", []string{"system:nodes"}, "node-1", "172.18.0.11", "fd00::b")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(identity.Certificate)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if cert.Subject.CommonName != "system:node:node-1" || !slices.Equal(cert.Subject.Organization, []string{"system:nodes"}) {
		t.Errorf("the certificate is for %s", cert.Subject)
	}
	for _, host := range []string{"node-1", "172.18.0.11", "fd00::b"} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: pki.Pool(), DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: pki.Pool(), DNSName: "node-2"}); err == nil {
		t.Error("it is good for node-2 too")
	}
	other, err := NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: other.Pool()}); err == nil {
		t.Error("another authority trusts it")
	}
}

func TestKubeconfigHasWhatTheIdentityHas(t *testing.T) {
	pki, err := NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	identity, err := pki.Issue("somebody", nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := pki.Kubeconfig(path, "https://192.0.2.1:6443", identity); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://192.0.2.1:6443" || string(config.KeyData) != string(identity.Key) || string(config.CAData) != string(pki.pem) {
		t.Errorf("it says %+v", config)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
}

func TestInstallDNS(t *testing.T) {
	for _, c := range []struct{ families, ips, policy string }{
		{"ipv4", "[10.96.0.10]", "SingleStack"},
		{"ipv6", "[fd00:10:96::a]", "SingleStack"},
		{"ipv6,ipv4", "[fd00:10:96::a 10.96.0.10]", "RequireDualStack"},
	} {
		client := fake.NewClientset()
		plane := &ControlPlane{Config: Config{Plan: plan(t, c.families)}}
		if err := plane.InstallDNS(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		service, err := client.CoreV1().Services("kube-system").Get(t.Context(), "kube-dns", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(service.Spec.ClusterIPs); got != c.ips || string(*service.Spec.IPFamilyPolicy) != c.policy || service.Spec.ClusterIP != service.Spec.ClusterIPs[0] {
			t.Errorf("%s: the service is at %s, %s", c.families, got, *service.Spec.IPFamilyPolicy)
		}
		config, err := client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "coredns", metav1.GetOptions{})
		if err != nil || !strings.Contains(config.Data["Corefile"], "kubernetes "+Domain+" ") {
			t.Errorf("%s: the configuration is %v, %v", c.families, config, err)
		}
		if _, err := client.AppsV1().Deployments("kube-system").Get(t.Context(), "coredns", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	}
}
