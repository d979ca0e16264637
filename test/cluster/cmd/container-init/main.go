// Command container-init becomes the first process of a container. It is small
// because it runs once per container; only package container calls it.
package main

import (
	"os"
	"runtime"

	"github.com/bulkhead-dev/bulkhead/test/cluster/container"
)

// Namespaces, root and capabilities are a thread's; exec keeps those of this one.
func init() { runtime.LockOSThread() }

func main() { os.Exit(container.Main()) }
