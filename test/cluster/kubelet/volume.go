package kubelet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	defaultFileMode = 0o644
	tokenDuration   = 3600 // seconds, for a token that asks for none
	// The API server lets a node read what its pods mention only once its
	// authorizer has heard of the pod, which may be after the node has.
	authorizerTries = 50
	authorizerPause = 20 * time.Millisecond
)

// A renewal makes a token anew.
type renewal func(context.Context) error

// mountVolumes makes the pod's volumes and keeps its tokens fresh until the
// sandbox stops. Config maps and secrets are as they were at the pod's start.
func (k *Kubelet) mountVolumes(ctx context.Context, pod *corev1.Pod, box *sandbox) error {
	var renewals []renewal
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		renew, err := k.mountVolume(ctx, pod, box, v)
		for try := 0; apierrors.IsForbidden(err) && try < authorizerTries && ctx.Err() == nil; try++ {
			time.Sleep(authorizerPause)
			renew, err = k.mountVolume(ctx, pod, box, v)
		}
		if err != nil {
			return fmt.Errorf("make volume %s: %w", v.Name, err)
		}
		renewals = append(renewals, renew...)
	}
	if len(renewals) > 0 {
		box.stop = k.renewPeriodically(ctx, pod, renewals)
	}
	return nil
}

// renewPeriodically renews tokens well before the shortest of them ends.
func (k *Kubelet) renewPeriodically(ctx context.Context, pod *corev1.Pod, renewals []renewal) (stop func()) {
	const period = 8 * time.Minute // the API server grants no token for less than ten
	ctx, stop = context.WithCancel(ctx)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(period):
			}
			for _, renew := range renewals {
				if err := renew(ctx); err != nil && ctx.Err() == nil {
					k.warn(pod, "FailedMount", err)
				}
			}
		}
	}()
	return stop
}

// mountVolume makes one volume, and says how its tokens are made anew.
func (k *Kubelet) mountVolume(ctx context.Context, pod *corev1.Pod, box *sandbox, v *corev1.Volume) ([]renewal, error) {
	if v.HostPath != nil {
		box.volumes[v.Name] = v.HostPath.Path
		return nil, k.prepareHostPath(v.HostPath)
	}
	dir := filepath.Join(box.dir, "volumes", v.Name)
	box.volumes[v.Name] = dir
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	if err := share(dir, pod.Spec.SecurityContext); err != nil {
		return nil, err
	}
	files := fileVolume{k: k, pod: pod, box: box, dir: dir}
	switch {
	case v.EmptyDir != nil:
		return nil, nil
	case v.ConfigMap != nil:
		return nil, files.configMap(v.ConfigMap.LocalObjectReference, v.ConfigMap.Items, v.ConfigMap.Optional, v.ConfigMap.DefaultMode)
	case v.Secret != nil:
		return nil, files.secret(corev1.LocalObjectReference{Name: v.Secret.SecretName}, v.Secret.Items, v.Secret.Optional, v.Secret.DefaultMode)
	case v.DownwardAPI != nil:
		return nil, files.downward(v.DownwardAPI.Items, v.DownwardAPI.DefaultMode)
	case v.Projected != nil:
		return files.projected(ctx, v.Projected)
	}
	return nil, fmt.Errorf("it is of a kind that this kubelet does not know")
}

// share opens a volume to everybody, and what is made in it to the pod's group.
func share(dir string, security *corev1.PodSecurityContext) error {
	mode := os.FileMode(0o777)
	if security != nil && security.FSGroup != nil {
		if err := os.Chown(dir, -1, int(*security.FSGroup)); err != nil {
			return err
		}
		mode |= os.ModeSetgid
	}
	return os.Chmod(dir, mode)
}

// prepareHostPath makes what the pod says may be made, on the node.
func (k *Kubelet) prepareHostPath(v *corev1.HostPathVolumeSource) error {
	return k.View.Do(func() error {
		switch deref(v.Type, corev1.HostPathUnset) {
		case corev1.HostPathDirectoryOrCreate:
			return os.MkdirAll(v.Path, 0o755)
		case corev1.HostPathFileOrCreate:
			file, err := os.OpenFile(v.Path, os.O_CREATE|os.O_RDONLY, 0o644)
			if err != nil {
				return err
			}
			return file.Close()
		}
		_, err := os.Stat(v.Path)
		return err
	})
}

// A fileVolume is a folder filled with files from the API server.
type fileVolume struct {
	k   *Kubelet
	pod *corev1.Pod
	box *sandbox
	dir string
}

func (f fileVolume) projected(ctx context.Context, v *corev1.ProjectedVolumeSource) (renewals []renewal, err error) {
	for _, s := range v.Sources {
		switch {
		case s.ConfigMap != nil:
			err = f.configMap(s.ConfigMap.LocalObjectReference, s.ConfigMap.Items, s.ConfigMap.Optional, v.DefaultMode)
		case s.Secret != nil:
			err = f.secret(s.Secret.LocalObjectReference, s.Secret.Items, s.Secret.Optional, v.DefaultMode)
		case s.DownwardAPI != nil:
			err = f.downward(s.DownwardAPI.Items, v.DefaultMode)
		case s.ServiceAccountToken != nil:
			renew := func(ctx context.Context) error { return f.token(ctx, s.ServiceAccountToken, v.DefaultMode) }
			renewals = append(renewals, renew)
			err = renew(ctx)
		default:
			err = fmt.Errorf("it projects a source that this kubelet does not know")
		}
		if err != nil {
			return nil, err
		}
	}
	return renewals, nil
}

func (f fileVolume) configMap(ref corev1.LocalObjectReference, items []corev1.KeyToPath, optional *bool, mode *int32) error {
	data, err := f.k.configMap(f.pod.Namespace, ref.Name, deref(optional, false))
	if err != nil {
		return err
	}
	return f.writeItems(data, items, deref(optional, false), mode)
}

func (f fileVolume) secret(ref corev1.LocalObjectReference, items []corev1.KeyToPath, optional *bool, mode *int32) error {
	data, err := f.k.secret(f.pod.Namespace, ref.Name, deref(optional, false))
	if err != nil {
		return err
	}
	return f.writeItems(data, items, deref(optional, false), mode)
}

// writeItems writes the entries that are named, or all.
func (f fileVolume) writeItems(data map[string]string, items []corev1.KeyToPath, optional bool, mode *int32) error {
	if items == nil {
		for key := range data {
			items = append(items, corev1.KeyToPath{Key: key, Path: key})
		}
	}
	for _, item := range items {
		value, found := data[item.Key]
		if !found && optional {
			continue
		}
		if !found {
			return fmt.Errorf("key %s is missing", item.Key)
		}
		if item.Mode == nil {
			item.Mode = mode
		}
		if err := f.write(item.Path, value, item.Mode); err != nil {
			return err
		}
	}
	return nil
}

func (f fileVolume) downward(items []corev1.DownwardAPIVolumeFile, mode *int32) error {
	for _, item := range items {
		if item.FieldRef == nil {
			return fmt.Errorf("file %s: only fields are known here", item.Path)
		}
		value, err := f.k.field(f.pod, f.box, item.FieldRef.FieldPath)
		if err != nil {
			return err
		}
		if item.Mode == nil {
			item.Mode = mode
		}
		if err := f.write(item.Path, value, item.Mode); err != nil {
			return err
		}
	}
	return nil
}

// token writes a token of the pod's service account that is bound to the pod.
func (f fileVolume) token(ctx context.Context, want *corev1.ServiceAccountTokenProjection, mode *int32) error {
	seconds := deref(want.ExpirationSeconds, tokenDuration)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: f.pod.Name, UID: f.pod.UID},
	}}
	if want.Audience != "" {
		request.Spec.Audiences = []string{want.Audience}
	}
	accounts := f.k.Client.CoreV1().ServiceAccounts(f.pod.Namespace)
	granted, err := accounts.CreateToken(ctx, f.pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("get service account token: %w", err)
	}
	return f.write(want.Path, granted.Status.Token, mode)
}

// write replaces a file at once: whoever reads it sees one token or the other.
func (f fileVolume) write(name, content string, mode *int32) error {
	path := filepath.Join(f.dir, filepath.Clean("/"+name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	fresh := path + ".new"
	if err := os.WriteFile(fresh, []byte(content), 0o600); err != nil {
		return err
	}
	if err := f.own(fresh, os.FileMode(deref(mode, defaultFileMode))); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}

// own gives a file to the pod's group, which may then read it.
func (f fileVolume) own(path string, mode os.FileMode) error {
	if s := f.pod.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		mode |= 0o040
		if err := os.Chown(path, -1, int(*s.FSGroup)); err != nil {
			return err
		}
	}
	return os.Chmod(path, mode)
}
