// Package printer writes what a command has to say: a table for people, JSON or
// YAML for programs.
//
// The caller says whether the writer understands colours and how wide it is; the
// package itself knows no terminal and does no I/O but writing. A Printer is used
// by one goroutine at a time.
package printer

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"
)

// Format is how data is written. Its zero value is the table for people.
type Format uint8

// The formats.
const (
	Table Format = iota
	JSON
	YAML
)

var formats = []string{"table", "json", "yaml"}

// String is "table", "json" or "yaml".
func (f Format) String() string {
	if int(f) < len(formats) {
		return formats[f]
	}
	return fmt.Sprintf("Format(%d)", uint8(f))
}

// Set reads what String writes; with String and Type it makes a Format a flag.
func (f *Format) Set(s string) error {
	for i, name := range formats {
		if s == name {
			*f = Format(i)
			return nil
		}
	}
	return fmt.Errorf("unknown format %q: use %s", s, strings.Join(formats, ", "))
}

// Type is the name of the flag's value in help.
func (f *Format) Type() string { return strings.Join(formats, "|") }

// Printer writes to Out.
type Printer struct {
	Out    io.Writer
	Format Format
	Color  bool // Out shows colours
	Width  int  // columns to use; zero: as many as needed
}

// Tabler is data that people read as a table.
type Tabler interface {
	// WriteTable writes the table; the printer is there for colours and width.
	WriteTable(*Printer) error
}

// Streamer is data too large to be encoded in one piece.
type Streamer interface {
	WriteJSON(io.Writer) error
	WriteYAML(io.Writer) error
}

// Print writes data in the printer's format.
func (p *Printer) Print(data Tabler) error {
	stream, streams := data.(Streamer)
	switch {
	case p.Format == JSON && streams:
		return stream.WriteJSON(p.Out)
	case p.Format == YAML && streams:
		return stream.WriteYAML(p.Out)
	case p.Format == JSON:
		return p.json(data)
	case p.Format == YAML:
		return p.yaml(data)
	}
	return data.WriteTable(p)
}

func (p *Printer) json(data any) error {
	encoder := json.NewEncoder(p.Out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(data); err != nil {
		return fmt.Errorf("encode json: %w", err)
	}
	return nil
}

func (p *Printer) yaml(data any) error {
	text, err := yaml.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode yaml: %w", err)
	}
	_, err = p.Out.Write(text)
	return err
}
