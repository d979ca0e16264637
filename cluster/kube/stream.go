package kube

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	restwatch "k8s.io/client-go/rest/watch"
)

// watch opens a stream of what changes after a version; without one it begins
// with a stream of what there is, which ends in a marked bookmark (KEP-3157, on
// by default since Kubernetes 1.32).
//
// The stream is read by the caller. client-go's own watch of a request takes a
// server that hangs up without an answer for a watch without events, and who
// follows it cannot say that the server is lost.
func (r Resource) watch(ctx context.Context, version string) (*restwatch.Decoder, error) {
	// The server ends a watch after this time. It differs so that the agents of
	// a cluster do not come back all at once.
	seconds := int64((5*time.Minute + rand.N(5*time.Minute)).Seconds())
	options := &metav1.ListOptions{
		Watch: true, AllowWatchBookmarks: true, TimeoutSeconds: &seconds,
		FieldSelector: r.fields.String(), ResourceVersion: version,
	}
	if version == "" {
		begin := true
		options.SendInitialEvents = &begin
		options.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
	}
	media, objects := runtime.ContentTypeProtobuf, runtime.Decoder(codecs.UniversalDeserializer())
	if r.trim != nil {
		objects = trimming{objects, r.Kind, r.trim}
	}
	if r.newList == nil {
		media, objects = runtime.ContentTypeJSON, customDecoder{}
	}
	info, ok := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), media)
	if !ok || info.StreamSerializer == nil {
		return nil, fmt.Errorf("find serializer for streams of %s", media)
	}
	body, err := r.request(options).Stream(ctx)
	if err != nil {
		return nil, err
	}
	frames := info.StreamSerializer.Framer.NewFrameReader(buffered{bufio.NewReaderSize(body, readAhead), body})
	events := streaming.NewDecoder(frames, info.StreamSerializer.Serializer)
	return restwatch.NewDecoder(events, objects), nil
}

// readAhead is how much of a stream is read at once. HTTP/2 tells the server of
// each read, with a packet of its own, and an event is a few kilobytes.
const readAhead = 32 << 10

// buffered is a stream that is read ahead.
type buffered struct {
	*bufio.Reader
	io.Closer
}
