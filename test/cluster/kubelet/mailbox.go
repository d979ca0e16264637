package kubelet

// A mailbox holds the latest of some values until it is taken. Any goroutine may
// put; one takes.
type mailbox[T any] chan T

func newMailbox[T any]() mailbox[T] { return make(mailbox[T], 1) }

// put replaces what has not been taken yet. Only one goroutine may put at a time.
func (m mailbox[T]) put(value T) {
	select {
	case <-m:
	default:
	}
	m <- value
}
