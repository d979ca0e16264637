package dns

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bulkhead-dev/bulkhead/names"
)

// readMemory reads what writeMemory wrote; nothing if there is no file.
func readMemory(file string) (names.Memory, error) {
	var m names.Memory
	if file == "" {
		return m, nil
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, fmt.Errorf("read names: %w", err)
	}
	if err := json.Unmarshal(content, &m); err != nil {
		return names.Memory{}, fmt.Errorf("read names in %s: %w", file, err)
	}
	return m, nil
}

// writeMemory puts a whole file in place of the old one.
func writeMemory(file string, m names.Memory) error {
	content, err := json.Marshal(m)
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	_, err = next.Write(content)
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return nil
}
