package examples

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/matrix"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// expectations are an example's expect.txt: for a connection the first line that
// fits decides.
type expectations struct {
	file  string
	lines []*expectation
}

// expectation is one line: "allow FROM -> TO [PROTOCOL [PORT]]", with * for any.
type expectation struct {
	number             int
	verdict            traffic.Verdict
	from, to           string
	protocol, portText string
	used               bool
}

func readExpectations(t *testing.T, file string) *expectations {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e := &expectations{file: file}
	scanner := bufio.NewScanner(f)
	for number := 1; scanner.Scan(); number++ {
		text := strings.TrimSpace(scanner.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		line, err := parseExpectation(text)
		if err != nil {
			t.Fatalf("%s:%d: %v", file, number, err)
		}
		line.number = number
		e.lines = append(e.lines, line)
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return e
}

func parseExpectation(text string) (*expectation, error) {
	words := strings.Fields(text)
	if len(words) < 4 || len(words) > 6 || words[2] != "->" {
		return nil, fmt.Errorf("want: allow|deny FROM -> TO [PROTOCOL [PORT]], have %q", text)
	}
	e := &expectation{from: words[1], to: words[3], protocol: "*", portText: "*"}
	if err := e.verdict.UnmarshalText([]byte(words[0])); err != nil {
		return nil, err
	}
	if len(words) > 4 {
		e.protocol = words[4]
	}
	if len(words) > 5 {
		e.portText = words[5]
	}
	return e, nil
}

// of is what is expected of a connection; ok is false if no line fits.
func (e *expectations) of(row matrix.Row) (verdict traffic.Verdict, line int, ok bool) {
	for _, l := range e.lines {
		if fits(l.from, row.From) && fits(l.to, row.To) && fits(l.protocol, row.Protocol.String()) && fits(l.portText, fmt.Sprint(row.Port)) {
			l.used = true
			return l.verdict, l.number, true
		}
	}
	return traffic.Deny, 0, false
}

func fits(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return pattern == "*" || err == nil && ok
}

// checkUsed complains of lines that no connection came to: they say something of
// nothing.
func (e *expectations) checkUsed(t *testing.T) {
	t.Helper()
	for _, l := range e.lines {
		if !l.used {
			t.Errorf("%s:%d: no connection fits this line, or all are decided before it", e.file, l.number)
		}
	}
}
