package plan

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const sample = `plan node-a
peer 0000000a
  net 10.0.0.0/8
  pods namespace=shop {app=web}
peer 0000000b
wider 0000000a 0000000b
address 10.0.0.7 0000000a
address fd00::7 0000000a
range 9.0.0.0-9.255.255.255 0000000b
range fd00::-fd00::ff 0000000b
held 10.0.0.0-10.0.0.255
held 10.0.1.7-10.0.1.7
known 10.0.0.7
known fd00::7
local 10.0.0.9 egress 00000000 ingress 000000c1
class 000000c1 ingress default deny
  policy shop/backend
  policy " odd\n"
  allow peer 0000000a
  deny peer 0000000a TCP 80-90
  allow peer 0000000b UDP 53
  allow any TCP
  allow any 47
`

func TestTextOfWhatIsParsedIsTheText(t *testing.T) {
	p, err := Parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	if got := Text(p); got != sample {
		t.Errorf("got\n%s\nwant\n%s", got, sample)
	}
}

func TestRandomPlansComeBackFromTheirText(t *testing.T) {
	for n := range 300 {
		p := randomPlan(source(n))
		back, err := Parse(Text(p))
		if err != nil {
			t.Fatalf("plan %d: %v\n%s", n, err, Text(p))
		}
		if d := Compare(p, back); !d.Empty() || back.Node != p.Node {
			t.Fatalf("plan %d: differs after text and back:\n%s", n, d.Text())
		}
	}
}

func TestParseReadsLinesInAnyOrderAndSkipsRemarks(t *testing.T) {
	p, err := Parse("# saved\n\nplan n\nlocal 10.0.0.1 egress 00000001 ingress 00000000\n" +
		"class 00000001 egress default deny\n  # none\n\n  allow any UDP 53\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Local) != 1 || len(p.Classes[1].Rows) != 1 {
		t.Errorf("got\n%s", Text(p))
	}
}

func TestParseNamesTheLineThatIsWrong(t *testing.T) {
	const class = "plan n\nclass 00000001 egress default deny\n"
	for text, want := range map[string]string{
		"":                                  "line 1: not a plan",
		"\npeer 0000000a\n":                 "line 2: not a plan",
		"plan n\nplan m":                    "line 2: a second plan",
		"plan n\npear 0000000a":             `line 2: unknown entry "pear"`,
		"plan n\n  net 10.0.0.0/8":          "line 2: \"net 10.0.0.0/8\" is indented",
		"plan n\npeer 00000000":             "line 2: peer group",
		"plan n\npeer a":                    "line 2: peer group",
		"plan n\npeer 0000000a\n  \"x":      "line 3: \"x is not a quoted string",
		"plan n\nwider 0000000a":            "line 2: want \"wider GROUP GROUP\"",
		"plan n\naddress 10.0.0.300 000000": "line 2: parse address",
		"plan n\naddress 10.0.0.3 0000000a\naddress 10.0.0.3 0000000b":                "line 3: address 10.0.0.3 stands here a second time",
		"plan n\nrange 10.0.0.9-10.0.0.1 0000000a":                                    "line 2: range",
		"plan n\nrange 10.0.0.9-fd00::1 0000000a":                                     "line 2: range",
		"plan n\nrange 10.0.0.9 0000000a":                                             "line 2: parse last address",
		"plan n\nheld 10.0.0.9":                                                       "line 2: parse last address",
		"plan n\nheld 10.0.0.0-10.0.0.9\nheld 10.0.0.9-10.0.0.12":                     "held ranges 10.0.0.0-10.0.0.9 and 10.0.0.9-10.0.0.12 overlap",
		"plan n\nknown 10.0.0.9 0000000a":                                             "line 2: parse address",
		"plan n\nlocal 10.0.0.1 egress 1":                                             "line 2: want \"local",
		"plan n\nclass 00000000 egress default deny":                                  "line 2: class 00000000 stands for no policy",
		"plan n\nclass 00000001 sideways default deny":                                `line 2: unknown direction "sideways"`,
		"plan n\nclass 00000001 egress default maybe":                                 `line 2: unknown verdict "maybe"`,
		class + "  permit any":                                                        `line 3: unknown line "permit"`,
		class + "  allow":                                                             "line 3: a row starts with",
		class + "  allow any TCP 90-80":                                               "line 3: ports \"90-80\"",
		class + "  allow any TCP 80 443":                                              "line 3: unexpected \"443\"",
		class + "  allow any XYZ":                                                     "line 3: unknown protocol",
		class + "  allow any TCP 80-90\n  deny any TCP 85-95":                         "overlap",
		"plan n\nlocal 10.0.0.1 egress 00000001 ingress 00000000":                     "class 00000001, which the plan does not have",
		"plan n\nrange 10.0.0.0-10.0.0.9 0000000a\nrange 10.0.0.9-10.0.0.12 0000000b": "overlap",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): got error %v, want one with %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add(Text(randomPlan(source(1))))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		canonical := Text(p)
		back, err := Parse(canonical)
		if err != nil {
			t.Fatalf("%v in the text of a parsed plan:\n%s", err, canonical)
		}
		if again := Text(back); again != canonical {
			t.Fatalf("text changed from\n%s\nto\n%s", canonical, again)
		}
	})
}

func TestJSONHoldsEveryTable(t *testing.T) {
	p, err := Parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	got := []int{len(d.Peers), len(d.Addresses), len(d.Ranges), len(d.Held), len(d.Known), len(d.Local), len(d.Classes), len(d.Classes[0].Rows)}
	if want := []int{2, 2, 2, 2, 2, 1, 1, 5}; !reflect.DeepEqual(got, want) {
		t.Errorf("lengths %v, want %v:\n%s", got, want, text)
	}
	p.Classes[0xc1].Audit = true
	if audited, err := json.Marshal(p); err != nil || !strings.Contains(string(audited), `"audit":true`) {
		t.Errorf("an audited class does not show (%v):\n%s", err, audited)
	}
	if row := d.Classes[0].Rows[1]; row != (rowDocument{Verdict: "deny", Peer: "0000000a", Protocol: "TCP", From: 80, To: 90}) {
		t.Errorf("second row is %+v", row)
	}
}
