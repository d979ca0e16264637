package neighbour

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// CNIDir is where container runtimes look for their network configuration.
const CNIDir = "/etc/cni/net.d"

// CNI is the evidence in a folder of CNI configuration; a missing one is empty.
func CNI(dir string) (Evidence, error) {
	var e Evidence
	for _, pattern := range []string{"*.conf", "*.conflist", "*.json"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return e, fmt.Errorf("list CNI configuration: %w", err)
		}
		for _, file := range files {
			if err := e.readCNI(file); err != nil {
				return e, err
			}
		}
	}
	return e, nil
}

func (e *Evidence) readCNI(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read CNI configuration: %w", err)
	}
	type plugin struct {
		Type string `json:"type"`
	}
	var conf struct {
		plugin
		Plugins []plugin `json:"plugins"`
	}
	if err := json.Unmarshal(content, &conf); err != nil {
		return fmt.Errorf("read CNI configuration %s: %w", file, err)
	}
	for _, p := range append(conf.Plugins, conf.plugin) {
		if p.Type != "" {
			e.Plugins = append(e.Plugins, p.Type)
		}
	}
	return nil
}
