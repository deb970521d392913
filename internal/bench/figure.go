package main

import (
	"slices"
	"strconv"
	"strings"
)

// A class says what a figure is about.
type class uint8

const (
	throughput class = iota
	cpu
	packets
	latency
	memory
)

// A figure is one number of the comparison.
type figure struct {
	id     string
	step   string // the step that measures it
	title  string
	unit   string
	digits int // behind the point
	class  class
	less   bool // the less, the better
}

// The steps of a session, in the order in which they are taken: those that
// leave the daemons with the most memory come last.
const (
	stepCold    = "cold"
	stepPing    = "ping"
	stepTCP1    = "tcp1"
	stepTCP4    = "tcp4"
	stepBoth    = "both"
	stepLoad    = "load"
	stepUDP1200 = "udp1200"
	stepUDP64   = "udp64"
	stepRSS     = "rss"
)

// steps are the names of all steps, in their order.
var steps = []string{stepCold, stepPing, stepTCP1, stepTCP4, stepBoth, stepLoad, stepUDP1200, stepUDP64, stepRSS}

// Figures of which the code speaks by name.
const (
	figPing      = "ping"
	figPingAdded = "ping.added"
	figPingP99   = "ping.p99"
	figLoadMean  = "load.mean"
	figLoadP99   = "load.p99"
	figLoadLost  = "load.lost"
	figRSSIdle   = "rss.idle"
	figRSSLoad   = "rss.load"
	figCold      = "cold"
)

// ofCPU is the end of the names of the figures that say what a figure of
// throughput or packets has cost.
const ofCPU = ".cpu"

// figures are all figures, in the order of the tables. A title with an ellipsis
// goes on with the one before. GB are 10⁹ bytes of what is transferred, and the
// time of the processor is that of both daemons.
var figures = []figure{
	{stepTCP1, stepTCP1, "TCP, 1 stream", "Gbit/s", 2, throughput, false},
	{stepTCP1 + ofCPU, stepTCP1, "… processor time", "s/GB", 2, cpu, true},
	{stepTCP4, stepTCP4, "TCP, 4 streams", "Gbit/s", 2, throughput, false},
	{stepTCP4 + ofCPU, stepTCP4, "… processor time", "s/GB", 2, cpu, true},
	{stepBoth, stepBoth, "TCP, both directions at once", "Gbit/s", 2, throughput, false},
	{stepBoth + ofCPU, stepBoth, "… processor time", "s/GB", 2, cpu, true},
	{stepUDP1200, stepUDP1200, "UDP, 1200 bytes, loss < 1 %", "kpps", 1, packets, false},
	{stepUDP1200 + ofCPU, stepUDP1200, "… processor time", "µs/packet", 1, cpu, true},
	{stepUDP64, stepUDP64, "UDP, 64 bytes, loss < 1 %", "kpps", 1, packets, false},
	{stepUDP64 + ofCPU, stepUDP64, "… processor time", "µs/packet", 1, cpu, true},
	{figPing, stepPing, "idle ping, median", "ms", 3, latency, true},
	{figPingAdded, stepPing, "… added over no tunnel", "ms", 3, latency, true},
	{figPingP99, stepPing, "idle ping, 99th percentile", "ms", 3, latency, true},
	{figLoadMean, stepLoad, "ping beside 4 streams, mean", "ms", 2, latency, true},
	{figLoadP99, stepLoad, "ping beside 4 streams, 99th percentile", "ms", 2, latency, true},
	{figLoadLost, stepLoad, "ping beside 4 streams, lost", "%", 1, latency, true},
	{figCold, stepCold, "first packet to first reply, new tunnel", "ms", 1, latency, true},
	{figRSSIdle, stepRSS, "memory of the larger daemon, idle", "MB", 0, memory, true},
	{figRSSLoad, stepRSS, "memory of the larger daemon, after all of the above", "MB", 0, memory, true},
}

// figureOf returns the figure with the given name.
func figureOf(id string) (figure, bool) {
	i := slices.IndexFunc(figures, func(f figure) bool { return f.id == id })
	if i < 0 {
		return figure{}, false
	}
	return figures[i], true
}

// fullTitle returns the title so that it can stand alone.
func (f figure) fullTitle() string {
	rest, found := strings.CutPrefix(f.title, "…")
	if !found {
		return f.title
	}
	i := slices.IndexFunc(figures, func(g figure) bool { return g.id == f.id })
	for ; i > 0 && strings.HasPrefix(figures[i].title, "…"); i-- {
	}
	return figures[i].title + "," + rest
}

// format writes a value with as many digits as the figure has.
func (f figure) format(v float64) string { return strconv.FormatFloat(v, 'f', f.digits, 64) }

// A path is what the packets of the daemons go through between the two hosts.
type path struct {
	id    string
	title string
	text  string
	cut   bool // packets are cut to the MTU before they cross
	gro   bool // and the receiving kernel puts them together again
}

// The names of the paths.
const (
	pathVeth       = "veth"
	pathPackets    = "packets"
	pathPacketsGRO = "packets-gro"
)

// paths are all paths, in the order of the tables.
var paths = []path{
	{pathVeth, "veth as it is", "The kernel hands a UDP packet that is yet to be cut (GSO) through the cable in one piece, as it would between virtual machines of one host.", false, false},
	{pathPackets, "every packet crosses", "TSO, GSO and UDP segmentation of the cable are off: packets are cut to the MTU before they cross, as on a network card without offloads.", true, false},
	{pathPacketsGRO, "every packet crosses, receive offload", "The same, and the receiving kernel merges packets that arrive together (GRO), as nearly every network card's driver does.", true, true},
}

// pathOf returns the path with the given name.
func pathOf(id string) (path, bool) {
	i := slices.IndexFunc(paths, func(p path) bool { return p.id == id })
	if i < 0 {
		return path{}, false
	}
	return paths[i], true
}
