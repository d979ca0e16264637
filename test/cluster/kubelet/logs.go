package kubelet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// followPeriod is how often a followed log is looked at.
const followPeriod = 100 * time.Millisecond

// logPath is the log of the nth run of a container. Later pods of the same name
// have logs of their own.
func (k *Kubelet) logPath(pod *corev1.Pod, container string, restart int32) string {
	folder := pod.Namespace + "_" + pod.Name + "_" + string(pod.UID)
	return filepath.Join(k.LogDir, folder, fmt.Sprintf("%s-%d.log", container, restart))
}

// logPath is the log of the last run of a container, or of the one before it.
func (w *worker) logPath(container string, previous bool) (path string, found bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	logs := w.logs[container]
	at := len(logs) - 1
	if previous {
		at--
	}
	if at < 0 {
		return "", false
	}
	return logs[at], true
}

// logOptions are those of the logs endpoint.
type logOptions struct {
	follow, previous, timestamps bool
	tail                         int // lines; -1: all
	limit                        int // bytes; -1: all
	since                        time.Time
}

func parseLogOptions(query url.Values) (logOptions, error) {
	o := logOptions{tail: -1, limit: -1}
	for name, to := range map[string]*bool{"follow": &o.follow, "previous": &o.previous, "timestamps": &o.timestamps} {
		*to = query.Get(name) == "true"
	}
	seconds := -1
	for name, to := range map[string]*int{"tailLines": &o.tail, "limitBytes": &o.limit, "sinceSeconds": &seconds} {
		text := query.Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return o, fmt.Errorf("parse %s %q: want a count", name, text)
		}
		*to = n
	}
	if seconds >= 0 {
		o.since = time.Now().Add(-time.Duration(seconds) * time.Second)
	}
	if text := query.Get("sinceTime"); text != "" {
		since, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return o, fmt.Errorf("parse sinceTime: %w", err)
		}
		o.since = since
	}
	return o, nil
}

// writeLog writes a log to w, and goes on while it is followed and running.
func writeLog(ctx context.Context, w io.Writer, path string, o logOptions, running func() bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	r := &logReader{options: o, in: bufio.NewReader(file), out: w}
	if o.tail >= 0 {
		err = r.copyTail()
	} else {
		err = r.copyNew()
	}
	for o.follow && err == nil {
		// Looked at before reading: what was written before the end is read.
		goOn := running()
		if !pause(ctx, followPeriod) {
			return nil
		}
		if err = r.copyNew(); !goOn {
			break
		}
	}
	if errors.Is(err, errLimit) {
		return nil
	}
	return err
}

var errLimit = errors.New("limit reached")

// A logReader turns lines as runtimes write them into what the container wrote.
type logReader struct {
	options logOptions
	in      *bufio.Reader
	out     io.Writer
	partial []byte // a line whose end is not written yet
}

// next reads one line of the file; io.EOF if there is none yet.
func (r *logReader) next() ([]byte, error) {
	part, err := r.in.ReadBytes('\n')
	r.partial = append(r.partial, part...)
	if err != nil {
		return nil, err
	}
	line := r.partial
	r.partial = nil
	return line, nil
}

// parse turns one line of the file into output; ok is false if it is too old.
func (r *logReader) parse(line []byte) (text []byte, ok bool) {
	fields := bytes.SplitN(bytes.TrimSuffix(line, []byte("\n")), []byte(" "), 4)
	if len(fields) < 4 {
		return nil, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(fields[0]))
	if err != nil || at.Before(r.options.since) {
		return nil, false
	}
	if r.options.timestamps {
		text = append(append(text, fields[0]...), ' ')
	}
	text = append(text, fields[3]...)
	if string(fields[2]) == "F" {
		text = append(text, '\n')
	}
	return text, true
}

func (r *logReader) copyNew() error {
	for {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			r.flush()
			return nil
		}
		if err != nil {
			return err
		}
		if text, ok := r.parse(line); ok {
			if err := r.write(text); err != nil {
				return err
			}
		}
	}
}

func (r *logReader) copyTail() error {
	var kept [][]byte
	for {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if text, ok := r.parse(line); ok {
			kept = append(kept, text)
			kept = kept[max(len(kept)-r.options.tail, 0):]
		}
	}
	for _, text := range kept {
		if err := r.write(text); err != nil {
			return err
		}
	}
	r.flush()
	return nil
}

func (r *logReader) write(text []byte) error {
	if r.options.limit >= 0 {
		if len(text) >= r.options.limit {
			_, _ = r.out.Write(text[:r.options.limit])
			r.flush()
			return errLimit
		}
		r.options.limit -= len(text)
	}
	_, err := r.out.Write(text)
	return err
}

func (r *logReader) flush() {
	if f, ok := r.out.(http.Flusher); ok {
		f.Flush()
	}
}
