package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	runtime "github.com/bulkhead-dev/bulkhead/test/cluster/container"
	"github.com/bulkhead-dev/bulkhead/test/cluster/image"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// An instance is one run of a container.
type instance struct {
	id    string
	cmd   *exec.Cmd
	spec  *runtime.Spec
	view  ns.View // what further processes of the container run in; owned but for Net
	began time.Time
	stdio *stdio
	// alive ends with the process: probes and hooks stop with it.
	alive context.Context
	over  context.CancelFunc
}

// startInstance starts a container of a pod for the nth time.
func (k *Kubelet) startInstance(pod *corev1.Pod, box *sandbox, c *corev1.Container, restart int32) (*instance, error) {
	img, err := k.Images.Find(c.Image)
	if err != nil {
		return nil, err
	}
	spec, err := k.containerSpec(pod, box, c, img)
	if err != nil {
		return nil, err
	}
	run := &instance{id: fmt.Sprintf("namespaces://%s-%s-%d", pod.UID, c.Name, restart), spec: spec}
	spec.Scratch = filepath.Join(box.dir, "containers", fmt.Sprintf("%s-%d", c.Name, restart))
	if run.stdio, err = newStdio(k.logPath(pod, c.Name, restart), c.Stdin, c.TTY); err != nil {
		return nil, err
	}
	run.cmd = exec.Command(k.Init)
	run.cmd.WaitDelay = time.Second
	run.stdio.connect(run.cmd)
	view := k.View
	view.Net = box.view.Net
	err = runtime.Start(view, spec, run.cmd)
	run.stdio.started()
	if err != nil {
		run.stdio.close()
		return nil, err
	}
	return run, run.begin(box)
}

// begin notes what is needed to join the container later.
func (r *instance) begin(box *sandbox) error {
	r.began = time.Now()
	r.alive, r.over = context.WithCancel(context.Background())
	kinds := unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC
	if !r.spec.SharePID {
		kinds |= unix.CLONE_NEWPID
	}
	view, err := ns.Of(r.cmd.Process.Pid, kinds)
	if errors.Is(err, unix.ENOENT) {
		err = nil // ended already: nobody will join it
	}
	view.Net = box.view.Net
	r.view = view
	return err
}

// wait returns when the container's first process has ended, and with it, since
// it is the first of its PID namespace, all others.
func (r *instance) wait() corev1.ContainerStateTerminated {
	err := r.cmd.Wait()
	r.over()
	state, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		return corev1.ContainerStateTerminated{ExitCode: 255, Reason: "Error", Message: err.Error()}
	}
	return terminated(state, r.began, r.id)
}

// close lets go of what an ended container held.
func (r *instance) close() {
	view := r.view
	view.Net = nil // the sandbox's
	_ = view.Close()
	r.stdio.close()
}

func (r *instance) signal(s syscall.Signal) {
	// It may have ended already; that is what the signal is for.
	_ = r.cmd.Process.Signal(s)
}

// containerSpec says how a container looks from inside.
func (k *Kubelet) containerSpec(pod *corev1.Pod, box *sandbox, c *corev1.Container, img *image.Image) (*runtime.Spec, error) {
	env, err := k.environment(pod, box, c, img)
	if err != nil {
		return nil, err
	}
	spec := &runtime.Spec{
		Layers: []string{img.Root}, Env: env,
		Argv: commandLine(c, img, env), Dir: c.WorkingDir,
		SharePID: pod.Spec.HostPID, Terminal: c.TTY,
	}
	if spec.Dir == "" {
		spec.Dir = img.Directory
	}
	if len(spec.Argv) == 0 {
		return nil, fmt.Errorf("image %s has no command and the container names none", img.Name)
	}
	if !pod.Spec.HostNetwork {
		spec.Hostname = box.hostname
	}
	secure(spec, pod.Spec.SecurityContext, c.SecurityContext)
	if img.HostTools {
		k.showHostTools(spec)
	}
	if spec.Mounts, err = k.mounts(spec.Mounts, box, c); err != nil {
		return nil, err
	}
	return spec, nil
}

// commandLine is the container's, or what of the image's it does not replace.
func commandLine(c *corev1.Container, img *image.Image, env []string) []string {
	command, args := c.Command, c.Args
	if len(command) == 0 {
		command = img.Entrypoint
		if len(args) == 0 {
			args = img.Command
		}
	}
	known := map[string]string{}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		known[name] = value
	}
	var argv []string
	for _, word := range slices.Concat(command, args) {
		argv = append(argv, expand(word, known))
	}
	return argv
}

// secure applies the security contexts, of which the container's wins.
func secure(spec *runtime.Spec, pod *corev1.PodSecurityContext, c *corev1.SecurityContext) {
	spec.Capabilities = runtime.DefaultCapabilities
	if pod != nil {
		spec.UID, spec.GID = int(deref(pod.RunAsUser, 0)), int(deref(pod.RunAsGroup, 0))
		for _, g := range pod.SupplementalGroups {
			spec.Groups = append(spec.Groups, int(g))
		}
		if pod.FSGroup != nil {
			spec.Groups = append(spec.Groups, int(*pod.FSGroup))
		}
	}
	if c == nil {
		return
	}
	spec.UID, spec.GID = int(deref(c.RunAsUser, int64(spec.UID))), int(deref(c.RunAsGroup, int64(spec.GID)))
	spec.Privileged = deref(c.Privileged, false)
	spec.ReadOnlyRoot = deref(c.ReadOnlyRootFilesystem, false)
	spec.NoNewPrivileges = !deref(c.AllowPrivilegeEscalation, true)
	if c.Capabilities != nil {
		spec.Capabilities = capabilities(spec.Capabilities, c.Capabilities)
	}
}

func capabilities(base []string, change *corev1.Capabilities) []string {
	const all = "ALL"
	if slices.Contains(change.Drop, all) {
		base = nil
	}
	if slices.Contains(change.Add, all) {
		base = runtime.AllCapabilities()
	}
	var kept []string
	for _, name := range base {
		if !slices.Contains(change.Drop, corev1.Capability(name)) {
			kept = append(kept, name)
		}
	}
	for _, name := range change.Add {
		kept = append(kept, strings.TrimPrefix(string(name), "CAP_"))
	}
	return kept
}

// showHostTools puts the machine's programs into the container: folders as
// mounts, symbolic links such as /bin as a layer of their own.
func (k *Kubelet) showHostTools(spec *runtime.Spec) {
	folders, _ := image.HostMounts()
	for _, dir := range folders {
		spec.Mounts = append(spec.Mounts, runtime.Mount{Source: dir, Target: dir, ReadOnly: true})
	}
	spec.Layers = append(spec.Layers, k.HostLinks)
}
