package rdv

// A list is a doubly linked list of elements that carry their own links, so
// that an element can be moved to the end without search or allocation.
type list[T any] struct {
	first, last *T
	links       func(*T) *links[T] // where an element keeps its links
}

// links are the neighbours of an element.
type links[T any] struct{ prev, next *T }

// push appends e, which must not be in the list.
func (l *list[T]) push(e *T) {
	*l.links(e) = links[T]{prev: l.last}
	if l.last == nil {
		l.first = e
	} else {
		l.links(l.last).next = e
	}
	l.last = e
}

// remove takes e, which must be in the list, out of it.
func (l *list[T]) remove(e *T) {
	n := l.links(e)
	if n.prev == nil {
		l.first = n.next
	} else {
		l.links(n.prev).next = n.next
	}
	if n.next == nil {
		l.last = n.prev
	} else {
		l.links(n.next).prev = n.prev
	}
	*n = links[T]{}
}
