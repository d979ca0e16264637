package document

import "bytes"

// chunk is a piece of a file that is parsed by itself, so that an error in one
// document does not hide the next.
type chunk struct {
	text []byte
	line int // of its first line in the file, from 1
}

// split cuts a YAML stream before each "---" line. Such a line ends a document
// wherever it stands, block scalars included (YAML 1.2, 9.1.2), so no parsing
// is needed to find it.
func split(data []byte) []chunk {
	var chunks []chunk
	start, startLine, line := 0, 1, 1
	preamble := true // only directives, comments and blank lines since start
	for at := 0; at < len(data); line++ {
		end := at + lineLength(data[at:])
		text := data[at:end]
		switch {
		case isMarker(text):
			if !preamble {
				chunks = append(chunks, chunk{data[start:at], startLine})
				start, startLine = at, line
			}
			preamble = false
		case !isPreamble(text):
			preamble = false
		}
		at = end
	}
	return append(chunks, chunk{data[start:], startLine})
}

// isEmpty tells whether there is nothing to parse but comments.
func (c chunk) isEmpty() bool {
	rest := c.text
	if n := lineLength(rest); isMarker(rest[:n]) && len(bytes.TrimSpace(rest[:n])) == len("---") {
		rest = rest[n:]
	}
	for len(rest) > 0 {
		n := lineLength(rest)
		if line := bytes.TrimSpace(rest[:n]); len(line) > 0 && line[0] != '#' {
			return false
		}
		rest = rest[n:]
	}
	return true
}

func lineLength(data []byte) int {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1
	}
	return len(data)
}

func isMarker(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

func isPreamble(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) == 0 || line[0] == '#' || line[0] == '%'
}
