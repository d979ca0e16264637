package syntax

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var path = field.NewPath("p")

func TestBlock(t *testing.T) {
	for _, row := range []struct{ value, want string }{
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"10.1.2.3/8", "10.0.0.0/8"},
		{"2001:DB8::1/32", "2001:db8::/32"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"10.0.0.1", `p: Invalid value: "10.0.0.1": must be a CIDR: for this one address write 10.0.0.1/32`},
		{"fe80::1%eth0", `p: Invalid value: "fe80::1%eth0": must be a valid CIDR, for example 10.9.8.0/24 or 2001:db8::/64`},
		{"010.0.0.0/8", `p: Invalid value: "010.0.0.0/8": must not have leading zeros: write 10.0.0.0/8`},
		{"::ffff:10.0.0.0/104", `p: Invalid value: "::ffff:10.0.0.0/104": must not be an IPv4-mapped IPv6 address: write the block as IPv4`},
		{"10.0.0.0/33", `p: Invalid value: "10.0.0.0/33": must be a valid CIDR, for example 10.9.8.0/24 or 2001:db8::/64`},
		{"", `p: Invalid value: "": must be a valid CIDR, for example 10.9.8.0/24 or 2001:db8::/64`},
	} {
		prefix, err := Block(row.value, path)
		got := prefix.String()
		if err != nil {
			got = err.Error()
		}
		if got != row.want {
			t.Errorf("%q: %s, want %s", row.value, got, row.want)
		}
	}
}

func TestDisjoint(t *testing.T) {
	for _, row := range []struct{ blocks, want string }{
		{"", ""},
		{"10.9.0.0/16 10.1.0.0/16", "10.1.0.0/16 10.9.0.0/16"},
		{"10.1.1.0/24 10.1.0.0/16 10.1.0.0/16", "10.1.0.0/16"},
		{"::/0 2001:db8::/32 0.0.0.0/0 10.0.0.0/8", "0.0.0.0/0 ::/0"},
	} {
		var blocks []netip.Prefix
		for _, b := range strings.Fields(row.blocks) {
			blocks = append(blocks, netip.MustParsePrefix(b))
		}
		if got := strings.Trim(fmt.Sprint(Disjoint(blocks)), "[]"); got != row.want {
			t.Errorf("%s: %s, want %s", row.blocks, got, row.want)
		}
	}
}

func TestSelector(t *testing.T) {
	expression := func(key string, operator metav1.LabelSelectorOperator, values ...string) metav1.LabelSelectorRequirement {
		return metav1.LabelSelectorRequirement{Key: key, Operator: operator, Values: values}
	}
	for _, row := range []struct {
		selector *metav1.LabelSelector
		want     string
	}{
		{nil, "nil"},
		{&metav1.LabelSelector{MatchLabels: map[string]string{}}, "nil"},
		{&metav1.LabelSelector{MatchLabels: map[string]string{"b": "1", "a": "2"}}, "a=2,b=1"},
		{&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{expression("a", "In", "x", "x")}}, "a=x"},
		{&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{expression("a", "NotIn", "y", "x")}}, "a notin (x,y)"},
		{&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{expression("a", "exists")}},
			`p.matchExpressions[0].operator: Invalid value: "exists": not a valid selector operator: use In, NotIn, Exists or DoesNotExist, here probably Exists`},
		{&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{expression("a", "In")}},
			"p.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn': list at least one, or use Exists or DoesNotExist"},
	} {
		selector, errs := Selector(row.selector, path)
		got := "nil"
		if selector != nil {
			got = selector.String()
		}
		if len(errs) > 0 {
			got = errs.ToAggregate().Error()
		}
		if got != row.want {
			t.Errorf("%v: %s, want %s", row.selector, got, row.want)
		}
	}
}
