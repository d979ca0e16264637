package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
)

// ConfigName is the file in the cluster's folder with its control.Config.
const ConfigName = "config.json"

// An Outcome is what the starter of a cluster is told.
type Outcome struct {
	Status *control.Status `json:"status"` // nil: the cluster did not come up
	Error  string          `json:"error"`
}

// Main is the cluster's process: it runs the cluster of a folder to its end.
// detached says that nobody holds the other end of LifeFD.
func Main(dir string, detached bool) int {
	for fd := ReadyFD; fd <= LifeFD; fd++ {
		unix.CloseOnExec(fd) // none of the cluster's programs is meant to have them
	}
	ready := os.NewFile(ReadyFD, "ready")
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	if !detached {
		go func() {
			// Nothing is ever written: the other end is closed, by its holder or
			// by the kernel.
			_, _ = io.Copy(io.Discard, os.NewFile(LifeFD, "life"))
			cancel()
		}()
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{}))
	klog.SetSlogLogger(log)
	err := runFolder(ctx, dir, log, func(s control.Status) {
		tell(ready, Outcome{Status: &s})
	})
	if err == nil {
		return 0
	}
	log.Error("cluster ended", "error", err)
	tell(ready, Outcome{Error: err.Error()})
	return 1
}

// tell is done once; the starter may have lost interest.
func tell(ready *os.File, o Outcome) {
	_ = json.NewEncoder(ready).Encode(o)
	_ = ready.Close()
}

func runFolder(ctx context.Context, dir string, log *slog.Logger, ready func(control.Status)) error {
	content, err := os.ReadFile(filepath.Join(dir, ConfigName))
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	var config control.Config
	if err := json.Unmarshal(content, &config); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	listener, err := net.FileListener(os.NewFile(ListenerFD, "listener"))
	if err != nil {
		return fmt.Errorf("take over listener: %w", err)
	}
	return Run(ctx, config, listener, log, ready)
}
