// Package dns is the cluster's name server: it answers for services and pods of
// a snapshot as CoreDNS does in a cluster, and for nothing else.
//
// A Server answers from the snapshot that it was last given, and may be used by
// several goroutines. It opens no port itself; Datagram and Stream are handlers
// for package listen.
//
// https://github.com/kubernetes/dns/blob/master/docs/specification.md
package dns

import (
	_ "embed"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// Manifest is kube-dns for clusters whose manifests bring none.
//
//go:embed kube-dns.yaml
var Manifest []byte

// Domain is the cluster's domain.
const Domain = "cluster.local."

// ServiceName is the service by which pods find the server.
var ServiceName = cluster.Name{Namespace: "kube-system", Name: "kube-dns"}

// Serves tells whether a pod is one of the cluster's name servers.
func Serves(pod *cluster.Pod) bool {
	return pod.Namespace == ServiceName.Namespace && pod.Labels["k8s-app"] == "kube-dns"
}

// Port is the name servers' port.
const Port = 53

// idle is how long a client may keep a TCP connection open without asking.
const idle = 10 * time.Second

// Server is a name server.
type Server struct {
	zone atomic.Pointer[zone]
}

// New is a server for a cluster.
func New(s *cluster.Snapshot) *Server {
	server := &Server{}
	server.Set(s)
	return server
}

// Set makes the server answer for a cluster as it is now.
func (s *Server) Set(snapshot *cluster.Snapshot) { s.zone.Store(newZone(snapshot)) }

// Datagram answers one query over UDP, cut to what the client can take.
func (s *Server) Datagram(request []byte, _, _ netip.AddrPort) []byte {
	query := new(dns.Msg)
	if err := query.Unpack(request); err != nil {
		return formatError(request)
	}
	reply := s.reply(query)
	size := dns.MinMsgSize
	if opt := query.IsEdns0(); opt != nil {
		size = max(size, int(opt.UDPSize()))
	}
	reply.Truncate(size)
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// formatError answers what is no query, as far as that has a number to answer
// to.
func formatError(request []byte) []byte {
	if len(request) < 2 {
		return nil
	}
	reply := new(dns.Msg)
	reply.Id = uint16(request[0])<<8 | uint16(request[1])
	reply.Response, reply.Rcode = true, dns.RcodeFormatError
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// Stream answers queries over TCP until the client is silent for too long.
func (s *Server) Stream(conn net.Conn) {
	c := &dns.Conn{Conn: conn}
	for {
		conn.SetDeadline(time.Now().Add(idle))
		query, err := c.ReadMsg()
		if err != nil {
			return
		}
		if err := c.WriteMsg(s.reply(query)); err != nil {
			return
		}
	}
}

func (s *Server) reply(query *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.Authoritative, reply.RecursionAvailable = true, true
	if opt := query.IsEdns0(); opt != nil {
		reply.SetEdns0(opt.UDPSize(), false)
	}
	if len(query.Question) != 1 || query.Opcode != dns.OpcodeQuery || query.Question[0].Qclass != dns.ClassINET {
		reply.Rcode = dns.RcodeRefused
		return reply
	}
	zone := s.zone.Load()
	records, known := zone.look(query.Question[0])
	reply.Answer = records
	if len(records) == 0 {
		reply.Ns = []dns.RR{soa}
	}
	if !known {
		reply.Rcode = dns.RcodeNameError
	}
	return reply
}

// ResolvConf is the file /etc/resolv.conf of a pod. The namespace is empty for
// what is not in one, such as a node.
func ResolvConf(s *cluster.Snapshot, namespace string) string {
	var b strings.Builder
	if service, ok := s.Services[ServiceName]; ok {
		for _, addr := range service.ClusterIPs {
			fmt.Fprintf(&b, "nameserver %s\n", addr)
		}
	}
	domain := strings.TrimSuffix(Domain, ".")
	if namespace != "" {
		fmt.Fprintf(&b, "search %s.svc.%s svc.%s %s\n", namespace, domain, domain, domain)
	}
	b.WriteString("options ndots:5\n")
	return b.String()
}
