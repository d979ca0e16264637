package http

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a head. They are above what servers take by default.
const (
	mostHead   = 64 << 10
	mostFields = 256
)

// A malformed is why a message is refused. Where two readers could understand a
// message differently, it is refused rather than repaired: what was matched must
// be what the server understands.
type malformed string

func (m malformed) Error() string { return string(m) }

// field is a header field.
type field struct {
	name  string // in lower case
	value string
}

// body says how a message's body ends.
type body struct {
	chunked bool
	length  int64 // -1: with the connection, or it is chunked
}

func (b body) empty() bool { return !b.chunked && b.length == 0 }

// request is a request's head.
type request struct {
	method, target string
	path           string // with the query
	host           string // in lower case, without the port
	minor          int    // of HTTP/1
	fields         []field
	body           body
	closes         bool   // no other request comes behind
	continues      bool   // the client waits to be told to send the body
	upgrade        string // in lower case; empty: none
}

// endOfHead is behind the empty line, -1 if that has not come.
func endOfHead(data []byte) int {
	if i := bytes.Index(data, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return -1
}

// parseRequest reads a whole head, its empty line included.
func parseRequest(head []byte) (*request, error) {
	line, fields, err := parseHead(head)
	if err != nil {
		return nil, err
	}
	r := &request{fields: fields}
	words := strings.Split(line, " ")
	if len(words) != 3 || !isToken(words[0]) || words[1] == "" {
		return nil, malformed("the request line is not METHOD TARGET VERSION")
	}
	r.method, r.target = words[0], words[1]
	if r.minor, err = parseVersion(words[2]); err != nil {
		return nil, err
	}
	if err := r.parseHost(); err != nil {
		return nil, err
	}
	if err := r.parseTarget(); err != nil {
		return nil, err
	}
	if r.body, err = parseBody(fields, r.minor); err != nil {
		return nil, err
	}
	if r.body.length < 0 && !r.body.chunked {
		r.body.length = 0 // RFC 9112, 6.3: a request without a length has no body
	}
	r.parseConnection()
	return r, nil
}

// parseHead splits a head into its first line and its fields (RFC 9112, 5).
func parseHead(head []byte) (line string, fields []field, err error) {
	text, ok := strings.CutSuffix(string(head), "\r\n\r\n")
	if !ok {
		return "", nil, malformed("the head does not end")
	}
	line, rest, _ := strings.Cut(text, "\r\n")
	if err := checkLine(line); err != nil {
		return "", nil, err
	}
	for rest != "" {
		var l string
		l, rest, _ = strings.Cut(rest, "\r\n")
		f, err := parseField(l)
		if err != nil {
			return "", nil, err
		}
		if fields = append(fields, f); len(fields) > mostFields {
			return "", nil, malformed(fmt.Sprintf("more than %d header fields", mostFields))
		}
	}
	return line, fields, nil
}

func parseField(line string) (field, error) {
	if err := checkLine(line); err != nil {
		return field{}, err
	}
	if line == "" || line[0] == ' ' || line[0] == '\t' {
		return field{}, malformed("a header field goes on in the next line (obs-fold)")
	}
	name, value, ok := strings.Cut(line, ":")
	if !ok || !isToken(name) {
		return field{}, malformed("a header line is not NAME: VALUE")
	}
	return field{strings.ToLower(name), strings.Trim(value, " \t")}, nil
}

// checkLine refuses control characters: a lone CR or LF is a line's end to some.
func checkLine(line string) error {
	for i := range len(line) {
		if c := line[i]; c < ' ' && c != '\t' || c == 0x7f {
			return malformed(fmt.Sprintf("the control character %#02x", c))
		}
	}
	return nil
}

// isToken: RFC 9110, 5.6.2.
func isToken(s string) bool {
	const others = "!#$%&'*+-.^_`|~"
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(others, c) >= 0) {
			return false
		}
	}
	return s != ""
}

func parseVersion(s string) (minor int, err error) {
	switch s {
	case "HTTP/1.1":
		return 1, nil
	case "HTTP/1.0":
		return 0, nil
	}
	return 0, malformed(fmt.Sprintf("the version is %q and not HTTP/1.1 or HTTP/1.0", s))
}

// of are the values of a field.
func valuesOf(fields []field, name string) []string {
	var values []string
	for _, f := range fields {
		if f.name == name {
			values = append(values, f.value)
		}
	}
	return values
}

// parseBody finds how the body ends. Two ways to say it are one too many: this is
// how requests are smuggled (RFC 9112, 6.1 and 11.2).
func parseBody(fields []field, minor int) (body, error) {
	lengths, codings := valuesOf(fields, "content-length"), valuesOf(fields, "transfer-encoding")
	switch {
	case len(codings) > 0 && len(lengths) > 0:
		return body{}, malformed("both Content-Length and Transfer-Encoding")
	case len(codings) > 0:
		if len(codings) > 1 || !strings.EqualFold(codings[0], "chunked") || minor == 0 {
			return body{}, malformed("a Transfer-Encoding other than chunked")
		}
		return body{chunked: true, length: -1}, nil
	case len(lengths) > 1:
		return body{}, malformed("more than one Content-Length")
	case len(lengths) == 1:
		n, err := parseNumber(lengths[0], 10)
		return body{length: n}, err
	}
	return body{length: -1}, nil
}

// parseNumber takes digits alone, no sign and no space.
func parseNumber(s string, base int) (int64, error) {
	n, err := strconv.ParseUint(s, base, 63)
	if err != nil || strings.ContainsAny(s, "+-_") {
		return 0, malformed(fmt.Sprintf("%q is not a length", s))
	}
	return int64(n), nil
}

func (r *request) parseHost() error {
	hosts := valuesOf(r.fields, "host")
	switch {
	case len(hosts) > 1:
		return malformed("more than one Host")
	case len(hosts) == 0 && r.minor > 0:
		return malformed("no Host")
	case len(hosts) == 1:
		host, err := hostOf(hosts[0])
		r.host = host
		return err
	}
	return nil
}

// hostOf is a host without its port.
func hostOf(authority string) (string, error) {
	host := strings.ToLower(authority)
	if strings.ContainsAny(host, " \t/@\\?#,") {
		return "", malformed(fmt.Sprintf("the host %q", authority))
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		if _, err := parseNumber(host[i+1:], 10); err != nil && host[i+1:] != "" {
			return "", malformed(fmt.Sprintf("the host %q", authority))
		}
		host = host[:i]
	}
	return strings.TrimSuffix(host, "."), nil
}

// parseTarget reads the four forms of RFC 9112, 3.2.
func (r *request) parseTarget() error {
	switch {
	case r.target[0] == '/':
		r.path = r.target
	case r.target == "*" && r.method == "OPTIONS":
		r.path = r.target
		return nil
	case r.method == "CONNECT":
		return malformed("CONNECT, which opens what cannot be judged")
	default:
		return r.parseAbsolute()
	}
	return checkPath(r.path)
}

// parseAbsolute reads the form that proxies get. Its host must be that of Host,
// as the two may be read by different servers.
func (r *request) parseAbsolute() error {
	rest, ok := cutPrefixFold(r.target, "http://")
	if !ok {
		return malformed(fmt.Sprintf("the target %q", r.target))
	}
	authority, path := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	host, err := hostOf(authority)
	if err != nil {
		return err
	}
	if host != r.host || host == "" {
		return malformed("the target's host is not that of Host")
	}
	if path[0] == '?' {
		path = "/" + path
	}
	r.path = path
	return checkPath(path)
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// checkPath refuses what servers normalise in different ways, so that a rule's
// path is the one that the server serves.
func checkPath(target string) error {
	path, _, _ := strings.Cut(target, "?")
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c >= 0x7f || c == '#' || c == '\\' {
			return malformed(fmt.Sprintf("the character %q in the target", c))
		}
	}
	for i := range len(path) {
		if path[i] != '%' {
			continue
		}
		if i+2 >= len(path) {
			return malformed("an unfinished escape in the path")
		}
		c, err := strconv.ParseUint(path[i+1:i+3], 16, 8)
		if err != nil {
			return malformed("an unfinished escape in the path")
		}
		if c == '/' || c == '\\' || c == '.' || c == '%' || c < ' ' || c == 0x7f {
			return malformed(fmt.Sprintf("%q in the path as an escape", byte(c)))
		}
	}
	for _, segment := range strings.Split(path, "/") {
		segment, _, _ = strings.Cut(segment, ";")
		if segment == "." || segment == ".." {
			return malformed("a dot segment in the path")
		}
	}
	return nil
}

func (r *request) parseConnection() {
	tokens := tokensOf(r.fields, "connection")
	r.closes = tokens["close"] || r.minor == 0 && !tokens["keep-alive"]
	r.continues = r.minor > 0 && len(valuesOf(r.fields, "expect")) > 0
	if tokens["upgrade"] {
		r.upgrade = strings.ToLower(strings.Join(valuesOf(r.fields, "upgrade"), ", "))
	}
}

// tokensOf are the members of a list, in lower case.
func tokensOf(fields []field, name string) map[string]bool {
	tokens := map[string]bool{}
	for _, value := range valuesOf(fields, name) {
		for _, token := range strings.Split(value, ",") {
			tokens[strings.ToLower(strings.TrimSpace(token))] = true
		}
	}
	return tokens
}

// response is a response's head.
type response struct {
	status int
	body   body
	closes bool
	fields []field
}

var errResponse = errors.New("the server's answer is not HTTP")

// parseResponse reads a whole head of an answer to a method.
func parseResponse(head []byte, method string) (*response, error) {
	line, fields, err := parseHead(head)
	if err != nil {
		return nil, err
	}
	version, rest, _ := strings.Cut(line, " ")
	minor, err := parseVersion(version)
	if err != nil {
		return nil, errResponse
	}
	code, _, _ := strings.Cut(rest, " ")
	status, err := parseNumber(code, 10)
	if err != nil || len(code) != 3 || status < 100 {
		return nil, errResponse
	}
	r := &response{status: int(status), fields: fields}
	if r.body, err = parseBody(fields, minor); err != nil {
		return nil, err
	}
	if status < 200 || status == 204 || status == 304 || method == "HEAD" {
		r.body = body{}
	}
	tokens := tokensOf(fields, "connection")
	r.closes = tokens["close"] || minor == 0 && !tokens["keep-alive"] || r.body.length < 0 && !r.body.chunked
	return r, nil
}
