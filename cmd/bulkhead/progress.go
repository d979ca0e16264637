package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// progressAfter is how long people wait before they want to know what for.
const progressAfter = 2 * time.Second

// progress says on a terminal what is going on, in one line that is gone at the
// end. On anything else it is silent.
type progress struct {
	w io.Writer // nil: nobody looks

	mu      sync.Mutex
	text    string
	visible bool
	timer   *time.Timer
}

func newProgress(w io.Writer) *progress {
	p := &progress{}
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.w = w
		p.timer = time.AfterFunc(progressAfter, p.show)
	}
	return p
}

func (p *progress) show() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.visible = true
	p.write()
}

// say changes the line.
func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = text
	if p.visible {
		p.write()
	}
}

// write replaces the line: carriage return, the text, erase the rest (ECMA-48 EL).
func (p *progress) write() { fmt.Fprintf(p.w, "\r%s\x1b[K", p.text) }

// end removes the line for good.
func (p *progress) end() {
	if p.w == nil {
		return
	}
	p.timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.visible {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.visible, p.w = false, io.Discard
}
