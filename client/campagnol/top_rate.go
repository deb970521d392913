package main

import (
	"fmt"
	"net/netip"
	"time"

	"campagnol/internal/control"
	"campagnol/internal/human"
)

// topMinute is how many rates are remembered of a peer, one for each look.
const topMinute = 60

// A rateHistory is what has gone through a tunnel, in bytes a second, the newest last.
type rateHistory struct {
	in, out float64 // the last
	list    []float64
}

// add takes what has gone through since the last look.
func (h *rateHistory) add(in, out float64) {
	h.in, h.out = in, out
	if h.list = append(h.list, in+out); len(h.list) > topMinute {
		h.list = append(h.list[:0], h.list[len(h.list)-topMinute:]...)
	}
}

// rateHistories are those of all peers.
type rateHistories map[netip.Addr]*rateHistory

// look takes the difference between two documents. Peers that are gone are forgotten.
func (hs rateHistories) look(before, after *control.Status) {
	was := map[netip.Addr]control.Peer{}
	var gone time.Duration
	if before != nil {
		gone = after.Time.Sub(before.Time)
		for _, p := range before.Peers {
			was[p.VPNAddress] = p
		}
	}
	there := map[netip.Addr]bool{}
	for _, p := range after.Peers {
		there[p.VPNAddress] = true
		h := hs[p.VPNAddress]
		if h == nil {
			h = new(rateHistory)
			hs[p.VPNAddress] = h
		}
		if before == nil || gone <= 0 {
			continue
		}
		old := was[p.VPNAddress]
		if !old.Since.Equal(p.Since) {
			old = control.Peer{} // another session
		}
		if p.BytesIn < old.BytesIn || p.BytesOut < old.BytesOut {
			continue
		}
		h.add(float64(p.BytesIn-old.BytesIn)/gone.Seconds(), float64(p.BytesOut-old.BytesOut)/gone.Seconds())
	}
	for a := range hs {
		if !there[a] {
			delete(hs, a)
		}
	}
}

// The steps of a sparkline, from nothing to the most.
var (
	sparkBlocks = []rune(" ▁▂▃▄▅▆▇█")
	sparkASCII  = []rune(" .:-=+*#@")
)

// sparkline draws the last minute in so many characters: each is the mean of a part of it,
// and the highest one is as high as can be.
func sparkline(list []float64, width int, steps []rune) string {
	if width <= 0 {
		return ""
	}
	means := make([]float64, width)
	most := 0.0
	for i := range means {
		// The newest is at the right.
		from, to := len(list)-topMinute+i*topMinute/width, len(list)-topMinute+(i+1)*topMinute/width
		from, to = max(from, 0), max(to, 0)
		for _, v := range list[from:to] {
			means[i] += v / float64(to-from)
		}
		most = max(most, means[i])
	}
	line := make([]rune, width)
	for i, v := range means {
		step := 0
		if v > 0 {
			step = 1 + int(v/most*float64(len(steps)-2))
		}
		line[i] = steps[min(step, len(steps)-1)]
	}
	return string(line)
}

// rateText returns a rate in at most ten characters.
func rateText(rate float64) string {
	switch {
	case rate < 1:
		return "-"
	case rate < 1000:
		return fmt.Sprintf("%.0f B/s", rate)
	}
	unit := 0
	for rate /= 1024; rate >= 1000 && unit < len(human.SizeUnits)-1; unit++ {
		rate /= 1024
	}
	if rate < 9.95 {
		return fmt.Sprintf("%.1f %s/s", rate, human.SizeUnits[unit])
	}
	return fmt.Sprintf("%.0f %s/s", rate, human.SizeUnits[unit])
}
