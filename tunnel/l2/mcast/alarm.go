package mcast

import (
	"container/heap"
	"time"
)

// An alarm says when something has to be looked at. It belongs to one owner.
type alarm struct {
	at    time.Time
	index int // in the queue; -1: not in it
	owner waker
}

// A waker is who owns an alarm. It does all that is due, and sets the alarm again.
type waker interface {
	due(s *Snooper)
}

// alarms is a queue of alarms, earliest first.
type alarms []*alarm

func (q alarms) Len() int           { return len(q) }
func (q alarms) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q alarms) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is for package heap.
func (q *alarms) Push(x any) {
	a := x.(*alarm)
	a.index = len(*q)
	*q = append(*q, a)
}

// Pop is for package heap.
func (q *alarms) Pop() any {
	last := len(*q) - 1
	a := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	a.index = -1
	return a
}

// set changes when a goes off; zero is never.
func (q *alarms) set(a *alarm, at time.Time) {
	a.at = at
	switch {
	case at.IsZero() && a.index >= 0:
		heap.Remove(q, a.index)
	case at.IsZero():
	case a.index >= 0:
		heap.Fix(q, a.index)
	default:
		heap.Push(q, a)
	}
}

// earlier returns the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
