package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

// A report is everything that a run has found out. It is what --json writes and
// -from reads; all tables are made of it.
type report struct {
	Format   int        `json:"format"`
	Began    time.Time  `json:"began"`
	Took     float64    `json:"took_s"`
	Machine  machine    `json:"machine"`
	Settings settings   `json:"settings"`
	Tools    []toolInfo `json:"tools"`
	Samples  []sample   `json:"samples"`
	Failures []failure  `json:"failures,omitempty"`
	Gates    []verdict  `json:"gates"`
}

// reportFormat is the number of the format. Another one is not read.
const reportFormat = 1

// A machine is where a run took place.
type machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
}

// settings are what the numbers depend on.
type settings struct {
	Rounds     int     `json:"rounds"`
	Seconds    float64 `json:"seconds"` // of a TCP transfer
	GOMAXPROCS int     `json:"gomaxprocs,omitempty"`
	Congestion string  `json:"congestion_control"`
	Short      bool    `json:"short,omitempty"`
	Profiled   bool    `json:"profiled,omitempty"`
}

// A toolInfo says what stands behind the name of a tool.
type toolInfo struct {
	Name     string `json:"name"`
	Title    string `json:"title"`
	Version  string `json:"version,omitempty"`
	Settings string `json:"settings"`
}

// A sample is the value of a figure in a round.
type sample struct {
	Round   int     `json:"round"` // from 1
	Path    string  `json:"path"`
	Tool    string  `json:"tool"`
	Figure  string  `json:"figure"`
	Value   float64 `json:"value"`
	Foreign float64 `json:"foreign"` // load of others meanwhile, in cores
	Tries   int     `json:"tries,omitempty"`
	// Disturbed: others had the machine for so much that the value is doubtful,
	// and would not leave it.
	Disturbed bool `json:"disturbed,omitempty"`
	// Limited: the generator was the limit, and the value is a lower bound.
	Limited bool `json:"limited,omitempty"`
}

// A failure is a step that gave no value.
type failure struct {
	Round int    `json:"round"`
	Path  string `json:"path"`
	Tool  string `json:"tool"`
	Step  string `json:"step"`
	Error string `json:"error"`
}

func (f failure) String() string {
	return fmt.Sprintf("round %d, %s, %s, %s: %s", f.Round, f.Path, f.Tool, f.Step, f.Error)
}

// encode returns the report as JSON.
func (r *report) encode() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

// readReport reads a report from a file.
func readReport(file string) (*report, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("bench: read a report: %w", err)
	}
	r, err := parseReport(b)
	if err != nil {
		return nil, fmt.Errorf("bench: read a report: %s: %w", file, err)
	}
	return r, nil
}

// parseReport is the inverse of encode. What belongs to figures, paths and tools
// that the program does not know is refused.
func parseReport(b []byte) (*report, error) {
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, err
	}
	if r.Format != reportFormat {
		return nil, fmt.Errorf("its format is %d, not %d", r.Format, reportFormat)
	}
	for _, s := range r.Samples {
		_, okFigure := figureOf(s.Figure)
		_, okPath := pathOf(s.Path)
		if !okFigure || !okPath || r.tool(s.Tool) == nil {
			return nil, fmt.Errorf("it has a sample of %q of %q on %q, which is unknown", s.Figure, s.Tool, s.Path)
		}
	}
	return &r, nil
}

// tool returns what is known of a tool, or nil.
func (r *report) tool(name string) *toolInfo {
	i := slices.IndexFunc(r.Tools, func(t toolInfo) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Tools[i]
}

// values returns the values of a figure by round.
func (r *report) values(path, tool, figure string) map[int]float64 {
	m := map[int]float64{}
	for _, s := range r.Samples {
		if s.Path == path && s.Tool == tool && s.Figure == figure {
			m[s.Round] = s.Value
		}
	}
	return m
}

// spread returns the spread of a figure over the rounds.
func (r *report) spread(path, tool, figure string) spread {
	return spreadOf(inOrder(r.values(path, tool, figure)))
}

// ratio returns the spread of what a tool has of a figure for each that another
// one has, from round to round: the machine may be faster in one round than in
// the next. Rounds in which either has nothing do not count.
func (r *report) ratio(path, tool, other, figure string) spread {
	ours, theirs := r.values(path, tool, figure), r.values(path, other, figure)
	ratios := map[int]float64{}
	for round, v := range ours {
		if w := theirs[round]; v > 0 && w > 0 {
			ratios[round] = v / w
		}
	}
	return spreadOf(inOrder(ratios))
}

// limited reports whether any value of a figure is only a lower bound.
func (r *report) limited(path, tool, figure string) bool {
	return slices.ContainsFunc(r.Samples, func(s sample) bool {
		return s.Path == path && s.Tool == tool && s.Figure == figure && s.Limited
	})
}

// disturbed returns how many samples are doubtful.
func (r *report) disturbed() (n int) {
	for _, s := range r.Samples {
		if s.Disturbed {
			n++
		}
	}
	return n
}

// has reports whether there is any value of a figure on a path.
func (r *report) has(path, figure string) bool {
	return slices.ContainsFunc(r.Samples, func(s sample) bool { return s.Path == path && s.Figure == figure })
}

// derive adds what is computed from several tools' samples of a round: what a
// tunnel adds to the time of a ping.
func (r *report) derive() {
	for _, p := range paths {
		direct := r.values(p.id, toolDirect, figPing)
		for _, s := range slices.Clone(r.Samples) {
			base, ok := direct[s.Round]
			if s.Path != p.id || s.Figure != figPing || s.Tool == toolDirect || !ok {
				continue
			}
			s.Figure = figPingAdded
			s.Value -= base
			r.Samples = append(r.Samples, s)
		}
	}
}

// inOrder returns the values by round.
func inOrder(m map[int]float64) []float64 {
	values := make([]float64, 0, len(m))
	for _, round := range slices.Sorted(maps.Keys(m)) {
		values = append(values, m[round])
	}
	return values
}
