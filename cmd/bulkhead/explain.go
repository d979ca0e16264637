package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/explanation"
	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

const explainHelp = `Say whether a connection is allowed, and which policies and rules decide it.

FROM and TO are written
  NAMESPACE/POD            a pod, or a workload: then its first pod
  node/NAME                a node
  ip/ADDRESS               an address, whoever has it
  service/NAMESPACE/NAME   a service (TO only)

A service is asked for on its own port; policies judge the connection to each
backend, and all of them must be allowed for the answer to be allow. The same
holds for IPv4 and IPv6 where both ends have both.

Where rules ask for the content of a connection, the answer is http or dns: some
requests or queries are allowed. --request and --query ask about one.

With --node, it says which of the well-known connections that a node lives on (SSH,
kubelet, API server, etcd, DNS) the policies would cut.

The exit code is 0 for allow, 1 for deny or something cut, and 2 for bad input.`

func newExplainCommand() *cobra.Command {
	var in input
	var out output
	var request string
	question := explanation.Question{Protocol: traffic.TCP}
	var node string
	cmd := &cobra.Command{
		Use:     "explain PATH... --from FROM --to TO --port PORT",
		Short:   "Say why a connection is allowed or denied",
		Long:    explainHelp,
		GroupID: groupModel,
		Example: `  bulkhead explain examples/web-shop --from shop/frontend --to shop/backend --port 8080
  bulkhead explain examples/web-shop --from shop/frontend --to service/shop/backend --port http
  bulkhead explain examples/web-shop --from ip/203.0.113.10 --to shop/backend --port 53 --protocol UDP
  bulkhead explain examples/http-methods --from shop/frontend --to shop/backend --port http --request "DELETE /products"
  bulkhead explain examples/calico-host-endpoint --node worker-1`,
		Args: usage(needPaths),
		RunE: func(cmd *cobra.Command, paths []string) error {
			if node != "" {
				if question.From+question.To+question.Port != "" {
					return badInput(errors.New("--node asks about the node alone: leave --from, --to and --port out"))
				}
				return explainNode(cmd, paths, &in, &out, node)
			}
			if err := errors.Join(complete(question), carries(&question, request)); err != nil {
				return badInput(fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
			}
			return explain(cmd, paths, &in, &out, question)
		},
	}
	in.addFlags(cmd)
	out.addFlags(cmd)
	cmd.Flags().StringVar(&question.From, "from", "", "`WHO` connects")
	cmd.Flags().StringVar(&question.To, "to", "", "`WHOM` it connects to")
	cmd.Flags().StringVar(&node, "node", "", "what would be cut of the needs of node `NAME`")
	cmd.Flags().StringVar(&question.Port, "port", "", "the destination's `PORT`: a number, or its name there")
	cmd.Flags().TextVar(&question.Protocol, "protocol", traffic.TCP, "the `PROTOCOL`: TCP, UDP, SCTP, ICMP, ICMPv6 or a number")
	cmd.Flags().StringVar(&request, "request", "", "about the HTTP request `\"METHOD PATH\"` on the connection, or \"METHOD http://HOST/PATH\"")
	cmd.Flags().StringVar(&question.Query, "query", "", "about the DNS query for `NAME` on the connection")
	return cmd
}

// carries reads what is said of the connection's content.
func carries(q *explanation.Question, request string) error {
	if request == "" {
		return nil
	}
	if q.Query != "" {
		return errors.New("--request and --query exclude each other: a connection carries one of them")
	}
	method, target, ok := strings.Cut(request, " ")
	u, err := url.ParseRequestURI(target)
	if !ok || method == "" || err != nil {
		return fmt.Errorf("--request %q: write METHOD PATH, for example %q", request, "GET /products")
	}
	q.Request = &l7.Request{Method: method, Path: u.RequestURI(), Host: strings.ToLower(u.Hostname()), Header: map[string][]string{}}
	return nil
}

// complete tells what a question lacks.
func complete(q explanation.Question) error {
	switch {
	case q.From == "":
		return errors.New("no source given: use --from")
	case q.To == "":
		return errors.New("no destination given: use --to")
	case q.Port == "" && q.Protocol.HasPorts():
		return errors.New("no port given: use --port")
	}
	return nil
}

// explainNode says what policies would cut a node off from.
func explainNode(cmd *cobra.Command, paths []string, in *input, out *output, node string) error {
	bundle, err := in.load(cmd, paths)
	if err != nil {
		return err
	}
	needs, err := explanation.NewNeeds(bundle.Snapshot, bundle.Policies, node)
	if err != nil {
		return badInput(err)
	}
	if err := out.printer(cmd).Print(needs); err != nil {
		return err
	}
	if needs.Cut() {
		return errNo
	}
	return nil
}

func explain(cmd *cobra.Command, paths []string, in *input, out *output, question explanation.Question) error {
	bundle, err := in.load(cmd, paths)
	if err != nil {
		return err
	}
	x, err := explanation.New(bundle.Snapshot, bundle.Policies, question)
	if err != nil {
		return badInput(err)
	}
	if err := out.printer(cmd).Print(x); err != nil {
		return err
	}
	if x.Verdict == traffic.Deny {
		return errNo
	}
	return nil
}
