package web

import (
	"fmt"
	"strings"
	"time"
)

// A sparkline is the picture of how many pairs were introduced.
type sparkline struct {
	Line, Area    string // points
	Width, Height int
	Most          uint32
	Total         uint32
	PerSecond     string // in the last minute
	Minutes       int
}

// sparklineOf draws counts.
func sparklineOf(counts []uint32, interval time.Duration) sparkline {
	const width, height, edge = 300, 60, 3
	s := sparkline{Width: width, Height: height, Minutes: int((time.Duration(len(counts)) * interval).Minutes())}
	minute := int(time.Minute / max(interval, time.Second))
	var last uint32
	for i, n := range counts {
		s.Most = max(s.Most, n)
		s.Total += n
		if i >= len(counts)-minute {
			last += n
		}
	}
	s.PerSecond = fmt.Sprintf("%.2f", float64(last)/60)
	var points []string
	for i, n := range counts {
		x := float64(i) * width / float64(max(len(counts)-1, 1))
		y := height - edge - float64(n)*(height-2*edge)/float64(max(s.Most, 1))
		points = append(points, fmt.Sprintf("%g,%g", round(x), round(y)))
	}
	s.Line = strings.Join(points, " ")
	if len(points) > 0 {
		s.Area = fmt.Sprintf("0,%d %s %d,%d", height, s.Line, width, height)
	}
	return s
}
