package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
)

// chartRows are what the chart shows, from top to bottom.
var chartRows = []struct{ path, figure, title string }{
	{pathVeth, stepTCP1, "TCP, 1 stream"},
	{pathVeth, stepTCP4, "TCP, 4 streams"},
	{pathVeth, stepBoth, "TCP, both directions"},
	{pathPackets, stepTCP1, "TCP, every packet crosses"},
	{pathPacketsGRO, stepTCP1, "… with receive offload"},
	{pathVeth, stepTCP1 + ofCPU, "bytes per processor time"},
	{pathVeth, stepUDP1200, "UDP packets of 1200 bytes"},
	{pathVeth, stepUDP64, "UDP packets of 64 bytes"},
	{pathVeth, figPingAdded, "quickness, idle"},
	{pathVeth, figLoadMean, "quickness, 4 streams beside"},
}

// chartTools are the tools with bars, in the order in a row. wireguard-go is the
// line at 1.
var chartTools = []string{toolOurs, toolNebula, toolNebulaTuned}

// A bar is how many times as good as wireguard-go a tool is.
type bar struct {
	tool  string
	times float64
}

// label writes how long a bar is, with two digits at least.
func (b bar) label() string {
	if b.times < 9.95 {
		return fmt.Sprintf("%.1f ×", b.times)
	}
	return fmt.Sprintf("%.0f ×", b.times)
}

// A barGroup is the bars of a figure.
type barGroup struct {
	title string
	bars  []bar
}

// barGroups returns what the chart shows of a report.
func (r *report) barGroups() []barGroup {
	var groups []barGroup
	for _, row := range chartRows {
		f, _ := figureOf(row.figure)
		g := barGroup{title: row.title}
		for _, tool := range chartTools {
			ratio := r.ratio(row.path, tool, toolWireGuard, row.figure)
			if ratio.Count == 0 {
				continue
			}
			times := ratio.Median
			if f.less {
				times = 1 / times
			}
			g.bars = append(g.bars, bar{tool, times})
		}
		if len(g.bars) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

// The measures of the chart, in its own units. Text has to fit to the left of
// the bars, and behind the longest of them.
const (
	chartLabels = 240
	chartBars   = 420
	chartBehind = 60
	chartTop    = 62
	barHeight   = 13
	groupGap    = 12
	chartBottom = 12
)

// chartStyle has the colours, which follow those of the page.
const chartStyle = `text{font:13px system-ui,sans-serif;fill:#1f2328}
.head{font-weight:600}
.small{font-size:11px}
.line{stroke:#1f2328;stroke-width:1;stroke-dasharray:3 3}
.ours{fill:#1a7f37}.nebula{fill:#59636e}.nebula-tuned{fill:#8c959f}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.line{stroke:#e6edf3}.ours{fill:#3fb950}.nebula{fill:#b6bdc5}.nebula-tuned{fill:#6e7681}}
`

// writeSVG draws the chart.
func (r *report) writeSVG(w io.Writer) {
	groups := r.barGroups()
	most, bars := 1.0, 0
	for _, g := range groups {
		bars += len(g.bars)
		for _, b := range g.bars {
			most = max(most, b.times)
		}
	}
	c := canvas{w: w, unit: chartBars / math.Ceil(most), y: chartTop}
	width, height := chartLabels+chartBars+chartBehind, chartTop+bars*barHeight+len(groups)*groupGap+chartBottom
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", width, height, width, height)
	c.element("title", "", "How many times as good as wireguard-go")
	fmt.Fprintf(w, "<style>%s</style>\n", chartStyle)
	c.text(0, 18, "head", "How many times as good as wireguard-go, in the same run: longer is better")
	r.drawLegend(&c)
	for _, g := range groups {
		c.group(g)
	}
	one := c.x(1)
	fmt.Fprintf(w, `<line class="line" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`+"\n", one, one, chartTop-6, height-chartBottom)
	c.text(one+3, chartTop-9, "small", "wireguard-go")
	fmt.Fprintln(w, "</svg>")
}

// drawLegend says which colour is which tool.
func (r *report) drawLegend(c *canvas) {
	x := 0.0
	for _, name := range chartTools {
		tool := r.tool(name)
		if tool == nil {
			continue
		}
		c.rect(x, 29, barHeight, name)
		label := strings.TrimSpace(tool.Title + " " + tool.Version)
		c.text(x+18, 40, "small", label)
		x += 18 + 7*float64(len(label)) + 16
	}
}

// A canvas is a chart that is being drawn.
type canvas struct {
	w    io.Writer
	unit float64 // the length of a bar of 1
	y    int     // where the next bar begins
}

// x returns where a bar ends.
func (c *canvas) x(times float64) float64 { return chartLabels + times*c.unit }

// group draws the bars of a figure.
func (c *canvas) group(g barGroup) {
	c.text(0, float64(c.y+len(g.bars)*barHeight/2+5), "", g.title)
	for _, b := range g.bars {
		c.rect(chartLabels, c.y+1, b.times*c.unit, b.tool)
		c.text(c.x(b.times)+5, float64(c.y+barHeight-2), "small", b.label())
		c.y += barHeight
	}
	c.y += groupGap
}

// rect draws a bar in the colour of a tool.
func (c *canvas) rect(x float64, y int, width float64, class string) {
	fmt.Fprintf(c.w, `<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d"/>`+"\n", class, x, y, width, barHeight-2)
}

// text writes text, from its baseline.
func (c *canvas) text(x, y float64, class, text string) {
	c.element("text", fmt.Sprintf(` class="%s" x="%.1f" y="%.1f"`, class, x, y), text)
}

// element writes an element that has nothing but text in it.
func (c *canvas) element(name, attributes, text string) {
	fmt.Fprintf(c.w, "<%s%s>", name, attributes)
	xml.EscapeText(c.w, []byte(text)) // fails only if writing does, as all the others here
	fmt.Fprintf(c.w, "</%s>\n", name)
}
