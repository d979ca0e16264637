package cilium

import (
	"slices"
	"testing"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// texts are a policy's rules for egress, and their names.
func texts(p *policy.Policy) (rules, names []string) {
	for _, r := range p.Egress.Rules {
		rules, names = append(rules, r.String()), append(names, r.Name)
	}
	return rules, names
}

func TestReadContent(t *testing.T) {
	const web = `ports: [{port: "80", protocol: TCP}]`
	for _, row := range []struct {
		name, spec string
		want       []string
	}{
		{"HTTP", `{toEntities: [world], toPorts: [{` + web + `, rules: {http: [{path: "/a.*", method: GET}, {host: 'a\.b'}]}}]}`,
			[]string{`allow [not nodes and not pods] TCP 80 http method GET path /a.* http host a\.b`}},
		{"every request", `{toPorts: [{` + web + `, rules: {http: [{}]}}]}`, []string{"allow any peer TCP 80 http any"}},
		{"headers", `{toPorts: [{` + web + `, rules: {http: [{headers: [X-A, "X-B: b c", "X-D d"]}]}}]}`,
			[]string{`allow any peer TCP 80 http header x-a header x-b "b c" header x-d "d"`}},
		{"header matches", `{toPorts: [{` + web + `, rules: {http: [{headerMatches: [{name: A}, {name: b, value: c}, {name: d, mismatch: DELETE}, {name: e, value: f, mismatch: REPLACE}]}]}}]}`,
			[]string{`allow any peer TCP 80 http header a header b "c" header d "" or delete header e "f" or replace`}},
		{"DNS", `{toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchName: Example.org.}, {matchPattern: "***.a"}, {matchPattern: "**."}]}}]}`,
			[]string{"allow any peer TCP 53 UDP 53 dns example.org dns **.a dns *"}},
		{"names", `{toFQDNs: [{matchName: example.org}, {matchPattern: "*.example.org"}], toPorts: [{` + web + `}]}`,
			[]string{"allow [names of ciliumnetworkpolicy shop/p: *.example.org, example.org and not nodes and not pods] TCP 80"}},
		{"some ports have rules", `{toPorts: [{ports: [{port: "1", protocol: TCP}]}, {` + web + `, rules: {http: [{method: GET}]}}, {ports: [{port: "2", protocol: TCP}]}]}`,
			[]string{"allow any peer TCP 1 TCP 2", "allow any peer TCP 80 http method GET"}},
		{"rules without ports", `{toPorts: [{rules: {http: [{method: GET}]}}]}`, []string{"allow"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, errs := readIn(t, out(row.spec))
			if len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			if got, _ := texts(p); !slices.Equal(got, row.want) {
				t.Errorf("got  %q\nwant %q", got, row.want)
			}
			if len(p.Gaps) > 0 {
				t.Errorf("gaps %v", p.Gaps)
			}
		})
	}
}

// One of the API's rules that becomes several has its name in all but the first,
// and those behind it lose their number.
func TestReadNamesOfParts(t *testing.T) {
	p, errs := readIn(t, `{endpointSelector: {}, egress: [{toEntities: [host]},
		{toPorts: [{ports: [{port: "1", protocol: TCP}]}, {ports: [{port: "80", protocol: TCP}], rules: {http: [{}]}}]}, {toEntities: [world]}]}`)
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	if _, got := texts(p); !slices.Equal(got, []string{"", "", "egress[1]", "egress[2]"}) {
		t.Errorf("names %q", got)
	}
}

func TestReadDNSOfNodes(t *testing.T) {
	p, errs := readWide(t, `{nodeSelector: {}, egress: [{toPorts: [{ports: [{port: "53", protocol: UDP}], rules: {dns: [{matchPattern: "*"}]}}]}]}`)
	if len(errs) > 0 || p.Egress.Rules[0].String() != "allow any peer UDP 53 dns *" {
		t.Errorf("%+v, %v", p, errs)
	}
}
