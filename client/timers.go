package client

import (
	"container/heap"
	"time"
)

// timers orders peers by when they are to be looked at next, so that ten
// thousand idle ones cost nothing until their time comes. Its zero value is
// empty.
type timers struct{ h peerHeap }

// set makes p due at t; the zero time means never.
func (ts *timers) set(p *peer, t time.Time) {
	switch {
	case p.due.Equal(t) && p.slot >= 0:
	case t.IsZero():
		ts.drop(p)
	case p.slot < 0:
		p.due = t
		heap.Push(&ts.h, p)
	default:
		p.due = t
		heap.Fix(&ts.h, p.slot)
	}
}

// drop forgets p.
func (ts *timers) drop(p *peer) {
	if p.slot >= 0 {
		heap.Remove(&ts.h, p.slot)
	}
}

// next returns when the first peer is due, and zero if none ever is.
func (ts *timers) next() time.Time {
	if len(ts.h) == 0 {
		return time.Time{}
	}
	return ts.h[0].due
}

// pop takes out a peer that is due at now, or returns nil.
func (ts *timers) pop(now time.Time) *peer {
	if len(ts.h) == 0 || now.Before(ts.h[0].due) {
		return nil
	}
	return heap.Pop(&ts.h).(*peer)
}

// peerHeap implements heap.Interface. Equal times go by VPN address, so that a
// run depends on nothing but its input.
type peerHeap []*peer

func (h peerHeap) Len() int { return len(h) }
func (h peerHeap) Less(i, j int) bool {
	if !h[i].due.Equal(h[j].due) {
		return h[i].due.Before(h[j].due)
	}
	return h[i].vpn.Less(h[j].vpn)
}
func (h peerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}
func (h *peerHeap) Push(x any) {
	p := x.(*peer)
	p.slot = len(*h)
	*h = append(*h, p)
}
func (h *peerHeap) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	p.slot = -1
	return p
}
