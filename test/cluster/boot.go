package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
)

const (
	configName = "config.json"
	stopTime   = 20 * time.Second
	pollPeriod = 20 * time.Millisecond
)

// outcome is what the cluster's process says once.
type outcome struct {
	Status *control.Status
	Error  string
}

// boot starts the cluster's first process in its namespaces and waits for the
// outcome. The order of the extra files is that of package machine's descriptors.
func (c *Cluster) boot(ctx context.Context, listener *net.TCPListener, lock *os.File, detach bool) (*outcome, error) {
	log, err := os.Create(filepath.Join(c.Dir, "logs", "cluster.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	socket, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	readyR, readyW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer readyR.Close()
	lifeR, lifeW, err := os.Pipe()
	if err != nil {
		readyW.Close()
		return nil, err
	}
	args := []string{"boot", c.Dir}
	if detach {
		args = append(args, "--detached")
	}
	cmd := exec.Command(c.tool, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{readyW, socket, lifeR, lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true,
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC}
	err = cmd.Start()
	readyW.Close()
	lifeR.Close()
	lock.Close() // the first process holds it from here on
	if err != nil {
		lifeW.Close()
		if errors.Is(err, syscall.EPERM) {
			err = fmt.Errorf("%w: making network namespaces needs root", err)
		}
		return nil, err
	}
	c.watch(cmd, lifeW, detach)
	return c.await(ctx, readyR, cmd)
}

// watch notes the end of the first process.
func (c *Cluster) watch(cmd *exec.Cmd, life *os.File, detach bool) {
	c.ended = make(chan struct{})
	if detach {
		life.Close()
	} else {
		c.life = life
	}
	go func() {
		// How it ended is in its log.
		_ = cmd.Wait()
		close(c.ended)
	}()
}

func (c *Cluster) await(ctx context.Context, ready *os.File, cmd *exec.Cmd) (*outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	var o outcome
	if err := json.NewDecoder(ready).Decode(&o); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		text, _ := os.ReadFile(filepath.Join(c.Dir, "logs", "cluster.log"))
		return nil, fmt.Errorf("wait for cluster: %w\n%s", err, text)
	}
	return &o, nil
}

// awaitEnd returns when no process of the cluster is left. They are killed when
// ctx ends first.
func (c *Cluster) awaitEnd(ctx context.Context) error {
	lock, err := os.OpenFile(c.lock, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("wait for cluster to end: %w", err)
	}
	defer lock.Close()
	// The cluster's first process holds the lock.
	free := func() bool { return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil }
	if !poll(ctx, free) {
		if c.pid > 0 {
			_ = syscall.Kill(c.pid, syscall.SIGKILL)
		}
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		if !poll(ctx, free) {
			return fmt.Errorf("wait for cluster to end: process %d does not end", c.pid)
		}
	}
	if c.ended != nil {
		<-c.ended
		return nil
	}
	// It lets go of the lock before the kernel has ended the others.
	poll(context.Background(), func() bool { return len(processesIn(c.pidNS)) == 0 })
	return nil
}

// poll waits for something to hold, and says whether it does by the end of ctx.
func poll(ctx context.Context, holds func() bool) bool {
	for !holds() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pollPeriod):
		}
	}
	return true
}
