package kube

import (
	"bytes"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"sigs.k8s.io/randfill"

	"github.com/bulkhead-dev/bulkhead/cluster/k8s"
)

func wire(t testing.TB, object runtime.Object) []byte {
	t.Helper()
	encoder := codecs.EncoderForVersion(protobuf.NewSerializer(scheme, scheme), corev1.SchemeGroupVersion)
	data, err := runtime.Encode(encoder, object)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func trimmer() trimming { return trimming{codecs.UniversalDeserializer(), "Pod", podFields} }

// TestTrimmedPodsReadTheSame as those that came whole.
func TestTrimmedPodsReadTheSame(t *testing.T) {
	fill := randfill.NewWithSeed(1).NilChance(0.3).NumElements(0, 3).MaxDepth(12).Funcs(
		func(f *metav1.FieldsV1, _ randfill.Continue) { f.SetRawString(`{"f:metadata":{}}`) },
		func(at *metav1.Time, _ randfill.Continue) { *at = metav1.Unix(1, 0) },
	)
	smaller := 0
	for range 300 {
		var pod corev1.Pod
		fill.Fill(&pod.ObjectMeta)
		fill.Fill(&pod.Spec)
		fill.Fill(&pod.Status)
		data := wire(t, &pod)
		object, _, err := trimmer().Decode(data, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := object.(*corev1.Pod)
		value, errs := k8s.Pod(got)
		want, wantErrs := k8s.Pod(&pod)
		if diff := cmp.Diff(want, value, cmp.Comparer(samePod)); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(text(wantErrs), text(errs)); diff != "" {
			t.Fatal(diff)
		}
		for what, same := range map[string]bool{
			"UID": got.UID == pod.UID, "version": got.ResourceVersion == pod.ResourceVersion,
			"generation": got.Generation == pod.Generation, "annotations": maps.Equal(got.Annotations, pod.Annotations),
		} {
			if !same {
				t.Errorf("%s is another", what)
			}
		}
		if len(got.ManagedFields)+len(got.Spec.Volumes)+len(got.Status.Conditions) > 0 {
			t.Error("what is of no use was decoded")
		}
		if len(wire(t, got)) < len(data)/2 {
			smaller++
		}
	}
	if smaller < 200 {
		t.Errorf("only %d of 300 pods were halved", smaller)
	}
}

// TestOtherObjectsAreNotTrimmed: a stream's errors come as objects of other kinds.
func TestOtherObjectsAreNotTrimmed(t *testing.T) {
	status := &metav1.Status{Status: metav1.StatusFailure, Message: "too old", Reason: metav1.StatusReasonExpired, Code: 410}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: corev1.NodeSpec{PodCIDR: "10.0.0.0/24"}}
	for _, object := range []runtime.Object{status, node} {
		data := wire(t, object)
		got, _, err := trimmer().Decode(bytes.Clone(data), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if again := wire(t, got); !bytes.Equal(again, data) {
			t.Errorf("%T comes back as %v", object, got)
		}
	}
}

// FuzzTrim: what cannot be trimmed does no harm, and what can is still a message.
func FuzzTrim(f *testing.F) {
	f.Add(wire(f, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}})[len(magic):])
	f.Add([]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, message []byte) {
		trimmed, err := envelope(podFields).trim(nil, message)
		if err != nil {
			return
		}
		if len(trimmed) > len(message) {
			t.Errorf("%d bytes became %d", len(message), len(trimmed))
		}
		again, err := envelope(podFields).trim(nil, trimmed)
		if err != nil || !bytes.Equal(again, trimmed) {
			t.Errorf("trimmed again it is %x, %v", again, err)
		}
		kindIn(message)
	})
}
