package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// text is the content of one file.
type text struct {
	file string
	data []byte
}

// suffixes of the files that are read in folders.
var suffixes = []string{".yaml", ".yml", ".json"}

// readAll reads every file once, however often it is named.
func (l *loader) readAll(paths []string, stdin io.Reader) []text {
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	var texts []text
	seen := map[string]bool{}
	read := func(path string, open func() (io.ReadCloser, error)) {
		if id := identity(path); !seen[id] {
			seen[id] = true
			if data, ok := l.read(path, open); ok {
				texts = append(texts, text{path, data})
			}
		}
	}
	for _, path := range paths {
		if path == Stdin {
			read(path, func() (io.ReadCloser, error) { return io.NopCloser(stdin), nil })
			continue
		}
		for _, file := range l.files(path) {
			read(file, func() (io.ReadCloser, error) { return os.Open(file) })
		}
	}
	return texts
}

// identity is the same for two paths to one file.
func identity(path string) string {
	if path == Stdin {
		return path
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// files are the files that a path stands for, in the order of their names.
func (l *loader) files(path string) []string {
	info, err := os.Stat(path)
	if err != nil {
		l.fileError(path, err)
		return nil
	}
	if !info.IsDir() {
		return []string{path}
	}
	w := walker{loader: l, root: path}
	// The separator makes WalkDir follow a link to a folder.
	if err := filepath.WalkDir(path+string(filepath.Separator), w.visit); err != nil {
		w.fail(path, err)
	}
	if len(w.found) == 0 && !w.failed {
		l.fail(&Error{File: path, Message: "nothing found: the folder has no .yaml, .yml or .json file"})
	}
	return w.found
}

// walker gathers the files of a folder.
type walker struct {
	*loader
	root   string
	found  []string
	failed bool
}

func (w *walker) fail(path string, err error) {
	w.failed = true
	w.fileError(path, err)
}

func (w *walker) visit(path string, entry fs.DirEntry, err error) error {
	hidden := path != w.root && path != w.root+string(filepath.Separator) && entry.Name()[0] == '.'
	switch {
	case err != nil:
		w.fail(path, err) // a folder that cannot be listed is left out
	case hidden && entry.IsDir():
		return fs.SkipDir // version control and editors keep their own YAML there
	case hidden, entry.IsDir(), !slices.Contains(suffixes, filepath.Ext(path)):
	default:
		w.visitFile(path)
	}
	return nil
}

// visitFile refuses what is not a file: reading a pipe that nobody writes to
// would not end.
func (w *walker) visitFile(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		w.fail(path, err)
	case info.IsDir(): // a link; following it could lead in a circle
	case !info.Mode().IsRegular():
		w.fail(path, errors.New("not a regular file: name it on the command line if it is to be read"))
	default:
		w.found = append(w.found, path)
	}
}

func (l *loader) read(path string, open func() (io.ReadCloser, error)) ([]byte, bool) {
	file, err := open()
	if err != nil {
		l.fileError(path, err)
		return nil, false
	}
	defer file.Close()
	limit := l.opts.MaxFileSize
	if limit <= 0 {
		limit = MaxFileSize
	}
	data, err := io.ReadAll(io.LimitReader(file, limit))
	if err != nil {
		l.fileError(path, err)
		return nil, false
	}
	if int64(len(data)) >= limit {
		l.fail(&Error{File: path, Message: fmt.Sprintf("too large: a file must be smaller than %s, split it, for example by namespace", size(limit))})
		return nil, false
	}
	return data, true
}

func size(bytes int64) string {
	if bytes%1_000_000 == 0 {
		return fmt.Sprintf("%d MB", bytes/1_000_000)
	}
	return fmt.Sprintf("%d bytes", bytes)
}

func (l *loader) fileError(path string, err error) {
	message := err.Error()
	var pathError *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		message = "no such file or folder"
	case errors.As(err, &pathError):
		message = pathError.Op + ": " + pathError.Err.Error()
	}
	l.fail(&Error{File: path, Message: message})
}
