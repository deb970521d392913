package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// wantXML fails the test unless b is one well-formed element, and returns all
// elements with their attributes.
func wantXML(t *testing.T, b []byte) (all []xml.StartElement) {
	t.Helper()
	d, depth, roots := xml.NewDecoder(bytes.NewReader(b)), 0, 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the chart is no XML: %v\n%s", err, b)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if depth++; depth == 1 {
				roots++
			}
			all = append(all, e.Copy())
		case xml.EndElement:
			depth--
		}
	}
	if roots != 1 || depth != 0 {
		t.Fatalf("the chart has %d outermost elements, and %d without end", roots, depth)
	}
	return all
}

// number returns an attribute.
func number(t *testing.T, e xml.StartElement, name string) float64 {
	t.Helper()
	for _, a := range e.Attr {
		if a.Name.Local == name {
			v, err := strconv.ParseFloat(a.Value, 64)
			if err != nil {
				t.Fatalf("attribute %s of a %s: %v", name, e.Name.Local, err)
			}
			return v
		}
	}
	t.Fatalf("a %s has no attribute %s", e.Name.Local, name)
	return 0
}

func TestBarGroups(t *testing.T) {
	t.Parallel()
	r := reportOf(
		given{pathVeth, toolOurs, stepTCP1, []float64{6, 9}},
		given{pathVeth, toolWireGuard, stepTCP1, []float64{3, 3}},
		given{pathVeth, toolNebula, stepTCP1, []float64{3, 3}},
		given{pathVeth, toolOurs, stepTCP1 + ofCPU, []float64{2}}, // the less, the longer the bar
		given{pathVeth, toolWireGuard, stepTCP1 + ofCPU, []float64{5}},
		given{pathVeth, toolOurs, stepUDP64, []float64{7}}, // nothing to compare with
	)
	got := fmt.Sprint(r.barGroups())
	const want = "[{TCP, 1 stream [{ours 2.5} {nebula 1}]} {bytes per processor time [{ours 2.5}]}]"
	if got != want {
		t.Errorf("the chart shows %s, want %s", got, want)
	}
	if got, want := len(fullReport().barGroups()), len(chartRows); got != want {
		t.Errorf("the chart of a whole report has %d groups, want %d", got, want)
	}
	for _, row := range chartRows {
		if _, ok := figureOf(row.figure); !ok {
			t.Errorf("the chart has a row of %s, which does not exist", row.figure)
		}
	}
}

// TestChart checks that the chart is well-formed, that everything is inside it,
// and that bars are as long as they should be.
func TestChart(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*report{
		"whole":   fullReport(),
		"empty":   reportOf(),
		"no tool": {},
		"one bar": reportOf(given{pathVeth, toolOurs, stepTCP1, []float64{30}}, given{pathVeth, toolWireGuard, stepTCP1, []float64{1}}),
		"hostile": func() *report {
			r := fullReport()
			r.Tools[1].Title = `<script>"&'` + "\x00\xff"
			return r
		}(),
	} {
		var b bytes.Buffer
		r.writeSVG(&b)
		all := wantXML(t, b.Bytes())
		width, height := number(t, all[0], "width"), number(t, all[0], "height")
		bars := 0
		for _, e := range all[1:] {
			switch e.Name.Local {
			case "rect":
				x, w := number(t, e, "x"), number(t, e, "width")
				y, h := number(t, e, "y"), number(t, e, "height")
				if x < 0 || y < 0 || w < 0 || x+w > width-chartBehind && x == chartLabels || x+w > width || y+h > height {
					t.Errorf("%s: a bar at %v, %v of %v × %v is not in the chart of %v × %v", name, x, y, w, h, width, height)
				}
				if x == chartLabels {
					bars++
				}
			case "text":
				if x, y := number(t, e, "x"), number(t, e, "y"); x < 0 || x > width || y < 0 || y > height {
					t.Errorf("%s: text at %v, %v is not in the chart of %v × %v", name, x, y, width, height)
				}
			case "script":
				t.Errorf("%s: there is a script in the chart", name)
			}
		}
		want := 0
		for _, g := range r.barGroups() {
			want += len(g.bars)
		}
		if bars < want {
			t.Errorf("%s: %d bars, want %d", name, bars, want)
		}
	}
}

// TestChartScale checks that a bar is as long as it says.
func TestChartScale(t *testing.T) {
	t.Parallel()
	r := reportOf(
		given{pathVeth, toolOurs, stepTCP1, []float64{6}}, given{pathVeth, toolNebula, stepTCP1, []float64{3}},
		given{pathVeth, toolWireGuard, stepTCP1, []float64{2}},
	)
	r.Tools = nil // no legend
	var b bytes.Buffer
	r.writeSVG(&b)
	var lengths []float64
	one := 0.0
	for _, e := range wantXML(t, b.Bytes()) {
		switch e.Name.Local {
		case "rect":
			lengths = append(lengths, number(t, e, "width"))
		case "line":
			one = number(t, e, "x1") - chartLabels
		}
	}
	if len(lengths) != 2 || math.Abs(lengths[0]-3*one) > 0.2 || math.Abs(lengths[1]-1.5*one) > 0.2 {
		t.Errorf("bars of 3 and 1.5 are %v long, where 1 is %v", lengths, one)
	}
	for _, want := range []string{">3.0 ×<", ">1.5 ×<"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no bar says %q:\n%s", want, b.String())
		}
	}
}

func TestBarLabel(t *testing.T) {
	t.Parallel()
	for times, want := range map[float64]string{0.04: "0.0 ×", 2: "2.0 ×", 9.94: "9.9 ×", 9.96: "10 ×", 123.4: "123 ×"} {
		if got := (bar{times: times}).label(); got != want {
			t.Errorf("a bar of %v says %q, want %q", times, got, want)
		}
	}
}

// The pages that a chart is read on.
var pages = map[string]string{"light": "#ffffff", "dark": "#0d1117"}

// TestChartColours checks the contrast of everything in the chart with the page,
// by the rules of the Web Content Accessibility Guidelines 2.2, section 1.4: 4.5
// for text and 3 for the rest.
func TestChartColours(t *testing.T) {
	t.Parallel()
	light, dark, found := strings.Cut(chartStyle, "@media(prefers-color-scheme:dark){")
	if !found {
		t.Fatal("there are no colours for a dark page")
	}
	for page, style := range map[string]string{"light": light, "dark": dark} {
		for _, name := range []string{"text", ".line", ".ours", ".nebula", ".nebula-tuned"} {
			rule := regexp.MustCompile(`(?:^|[\s}])` + regexp.QuoteMeta(name) + `\{[^}]*(?:fill|stroke):(#[0-9a-f]{6})`).FindStringSubmatch(style)
			if rule == nil {
				t.Errorf("on a %s page %s has no colour", page, name)
				continue
			}
			want := 3.0
			if name == "text" {
				want = 4.5
			}
			if got := contrast(t, rule[1], pages[page]); got < want {
				t.Errorf("on a %s page the contrast of %s is %.2f, want %v", page, name, got, want)
			}
		}
	}
}

// contrast returns the contrast of two colours.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance returns how light a colour is.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	rgb, err := strconv.ParseUint(colour[1:], 16, 24)
	if err != nil {
		t.Fatal(err)
	}
	channel := func(shift int) float64 {
		v := float64(rgb>>shift&0xff) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*channel(16) + 0.7152*channel(8) + 0.0722*channel(0)
}
