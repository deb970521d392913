package campagnol_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// The files that are made for those who watch a VPN.
const (
	metricsDoc    = "docs/metrics.md"
	alertsFile    = "packaging/prometheus/alerts.yml"
	scrapeFile    = "packaging/prometheus/prometheus.yml"
	dashboardFile = "packaging/grafana/campagnol.json"
)

// metricRow is a row of the page, which tests of the programs compare with what they
// export.
var metricRow = regexp.MustCompile("(?m)^\\| `(campagnol_[a-z0-9_]+)` \\| (counter|gauge|histogram) \\| (.*?) \\|")

// metricsOfPage returns the labels of the metrics that the page has, by name as in
// queries, and the type of each.
func metricsOfPage(t *testing.T) (labels map[string][]string, types map[string]string) {
	t.Helper()
	labels, types = map[string][]string{}, map[string]string{}
	text := readText(t, metricsDoc)
	for _, m := range metricRow.FindAllStringSubmatch(text, -1) {
		list := strings.FieldsFunc(m[3], func(c rune) bool { return c == '`' || c == ' ' || c == '–' })
		names := []string{m[1]}
		if m[2] == "histogram" {
			names = []string{m[1] + "_bucket", m[1] + "_sum", m[1] + "_count"}
			list = append(list, "le")
		}
		for _, name := range names {
			labels[name], types[name] = list, m[2]
		}
	}
	for _, m := range regexp.MustCompile("`((?:go|process)_[a-z_]+)`").FindAllStringSubmatch(text, -1) {
		labels[m[1]] = nil // internal/metrics checks them
		types[m[1]] = "gauge"
		if strings.HasSuffix(m[1], "_total") {
			types[m[1]] = "counter"
		}
	}
	labels["up"], types["up"] = nil, "gauge" // Prometheus' own
	if len(labels) < 100 {
		t.Fatalf("%d metrics in %s; the page is not what it was", len(labels), metricsDoc)
	}
	return labels, types
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A querier checks expressions of PromQL against the page.
type querier struct {
	labels map[string][]string
	types  map[string]string
	parser parser.Parser
	used   map[string]bool
}

func newQuerier(t *testing.T) *querier {
	t.Helper()
	labels, types := metricsOfPage(t)
	return &querier{labels, types, parser.NewParser(parser.Options{}), map[string]bool{}}
}

// check returns what is wrong with an expression.
func (q *querier) check(expr string) (errs []error) {
	e, err := q.parser.ParseExpr(expr)
	if err != nil {
		return []error{err}
	}
	parser.Inspect(e, func(node parser.Node, path []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			errs = append(errs, q.checkSelector(n)...)
		case *parser.Call:
			if slices.Contains([]string{"rate", "increase", "irate"}, n.Func.Name) {
				errs = append(errs, q.checkRate(n)...)
			}
		}
		return nil
	})
	return errs
}

// checkSelector checks that there is a metric, with these labels.
func (q *querier) checkSelector(s *parser.VectorSelector) (errs []error) {
	known, ok := q.labels[s.Name]
	if !ok {
		return []error{fmt.Errorf("there is no metric %q in %s", s.Name, metricsDoc)}
	}
	q.used[s.Name] = true
	for _, m := range s.LabelMatchers {
		if !slices.Contains(append([]string{"__name__", "job", "instance"}, known...), m.Name) {
			errs = append(errs, fmt.Errorf("%s has no label %q", s.Name, m.Name))
		}
	}
	return errs
}

// checkRate checks that rates are those of counters.
func (q *querier) checkRate(c *parser.Call) (errs []error) {
	parser.Inspect(c, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok && q.types[s.Name] != "counter" {
			errs = append(errs, fmt.Errorf("%s of %s, which is a %s", c.Func.Name, s.Name, q.types[s.Name]))
		}
		return nil
	})
	return errs
}

// TestQuerier: the check finds what is wrong.
func TestQuerier(t *testing.T) {
	q := newQuerier(t)
	for _, c := range []struct{ expr, want string }{
		{`max by (instance) (campagnol_registered) == 0`, ""},
		{`rate(campagnol_handshakes_total{result="ok"}[5m])`, ""},
		{`campagnol_registerd`, "there is no metric"},
		{`campagnol_registered{server="a"}`, "has no label"},
		{`rate(campagnol_registered[5m])`, "which is a gauge"},
		{`rate(campagnol_handshakes_total)`, "expected type range vector"},
		{`sum by (instance (up)`, "parse error"},
		{`campagnol_rdv_member_certificate_remaining_seconds`, "there is no metric"},
		{`campagnol_rdv_member_certificate_remaining_seconds_bucket{le="0"}`, ""},
	} {
		got := fmt.Sprint(q.check(c.expr))
		if c.want == "" && got != "[]" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %q", c.expr, got, c.want)
		}
	}
}

// An alertFile is a file of rules, as Prometheus reads it.
type alertFile struct {
	Groups []struct {
		Name  string
		Rules []alertRule
	}
}

type alertRule struct {
	Alert       string
	Expr        string
	For         string
	Labels      struct{ Severity string }
	Annotations struct{ Summary, Description string }
}

// unmarshalStrictly reads YAML in which nothing is unknown.
func unmarshalStrictly(t *testing.T, path string, into any) {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(readText(t, path)))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestAlerts: the rules can be read, ask for metrics that there are, and say what is
// the matter and what to do.
func TestAlerts(t *testing.T) {
	var file alertFile
	unmarshalStrictly(t, alertsFile, &file)
	q := newQuerier(t)
	seen := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if seen[r.Alert] || !strings.HasPrefix(r.Alert, "Campagnol") {
				t.Errorf("%s: the alert %q is there twice, or has no name of ours", alertsFile, r.Alert)
			}
			seen[r.Alert] = true
			for _, err := range q.check(r.Expr) {
				t.Errorf("%s: %s: %v", alertsFile, r.Alert, err)
			}
			for _, err := range r.check(q) {
				t.Errorf("%s: %s: %v", alertsFile, r.Alert, err)
			}
		}
	}
	for _, name := range []string{"up", "campagnol_registered", "campagnol_certificate_expiry_timestamp_seconds",
		"campagnol_handshakes_total", "campagnol_dropped_packets_total", "campagnol_rdv_serving", "campagnol_rdv_relay_allocations"} {
		if !q.used[name] {
			t.Errorf("%s: no alert looks at %s", alertsFile, name)
		}
	}
}

var templateLabel = regexp.MustCompile(`\$labels\.([a-z_]+)`)

// check returns what is wrong with a rule beside its expression.
func (r *alertRule) check(q *querier) (errs []error) {
	if r.For != "" {
		if d, err := time.ParseDuration(r.For); err != nil || d <= 0 {
			errs = append(errs, fmt.Errorf("for: %q is not a time", r.For))
		}
	}
	if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels.Severity) {
		errs = append(errs, fmt.Errorf("severity %q", r.Labels.Severity))
	}
	if r.Annotations.Summary == "" || !strings.HasSuffix(r.Annotations.Description, ".") {
		errs = append(errs, fmt.Errorf("summary or description is missing, or no sentence"))
	}
	text := r.Annotations.Summary + r.Annotations.Description
	if strings.Count(text, "{{") != strings.Count(text, "}}") {
		errs = append(errs, fmt.Errorf("braces that do not match in %q", text))
	}
	e, err := q.parser.ParseExpr(r.Expr)
	if err != nil {
		return errs // said already
	}
	there := map[string]bool{}
	for _, l := range q.labelsOf(e) {
		there[l] = true
	}
	for _, m := range templateLabel.FindAllStringSubmatch(text, -1) {
		if !there[m[1]] {
			errs = append(errs, fmt.Errorf("the text names the label %q, which the expression does not leave", m[1]))
		}
	}
	return errs
}

// labelsOf returns the labels that the result of an expression can have.
func (q *querier) labelsOf(e parser.Expr) []string {
	switch e := e.(type) {
	case *parser.AggregateExpr:
		return e.Grouping // our rules have no "without"
	case *parser.BinaryExpr:
		if left := q.labelsOf(e.LHS); left != nil {
			return left
		}
		return q.labelsOf(e.RHS)
	case *parser.ParenExpr:
		return q.labelsOf(e.Expr)
	case *parser.MatrixSelector:
		return q.labelsOf(e.VectorSelector)
	case *parser.VectorSelector:
		return append([]string{"job", "instance"}, q.labels[e.Name]...)
	case *parser.Call:
		for _, arg := range e.Args {
			if l := q.labelsOf(arg); l != nil {
				return l
			}
		}
	}
	return nil
}

// TestAlertCodes: codes and reasons in rules are ones that exist.
func TestAlertCodes(t *testing.T) {
	known := readText(t, "docs/refusals.md") + readText(t, "docs/control.md") + readText(t, metricsDoc)
	values := regexp.MustCompile(`(?:code|reason|result|family)(?:=~|!~|!=|=)"([^"]*)"`)
	found := 0
	for _, m := range values.FindAllStringSubmatch(readText(t, alertsFile), -1) {
		for value := range strings.SplitSeq(m[1], "|") {
			found++
			if !strings.Contains(known, "`"+value+"`") {
				t.Errorf("%s: no page explains the value %q", alertsFile, value)
			}
		}
	}
	if found < 10 {
		t.Errorf("%d values in %s; the test does not find them any more", found, alertsFile)
	}
}

// TestScrapeExample: the example reads the rules, and its jobs are those of the rules.
func TestScrapeExample(t *testing.T) {
	var file struct {
		Global struct {
			ScrapeInterval     string `yaml:"scrape_interval"`
			EvaluationInterval string `yaml:"evaluation_interval"`
		}
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string `yaml:"job_name"`
			StaticConfigs []struct{ Targets []string }
		} `yaml:"scrape_configs"`
	}
	d := yaml.NewDecoder(strings.NewReader(strings.ReplaceAll(readText(t, scrapeFile), "static_configs", "staticconfigs")))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(file.RuleFiles, " "); got != "alerts.yml" {
		t.Errorf("rule files %q", got)
	}
	rules := readText(t, alertsFile)
	for _, job := range file.ScrapeConfigs {
		if !strings.Contains(rules, `up{job="`+job.JobName+`"}`) {
			t.Errorf("no rule looks whether %s is up", job.JobName)
		}
		if len(job.StaticConfigs) != 1 || len(job.StaticConfigs[0].Targets) == 0 {
			t.Errorf("the job %s has no targets", job.JobName)
		}
	}
	if len(file.ScrapeConfigs) != 2 {
		t.Errorf("%d jobs, want clients and servers", len(file.ScrapeConfigs))
	}
}

// A panel is one of a dashboard.
type panel struct {
	ID      int
	Type    string
	Title   string
	GridPos struct{ H, W, X, Y int }
	Targets []struct{ Expr, LegendFormat string }
}

// TestDashboard: it is JSON, its panels do not overlap, and they ask for metrics that
// there are.
func TestDashboard(t *testing.T) {
	var d struct {
		Title      string
		UID        string
		Panels     []panel
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal([]byte(readText(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	q := newQuerier(t)
	ids := map[int]bool{}
	for i, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d, %q: its ID is there twice, or it has no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, o := range d.Panels[:i] {
			if a, b := p.GridPos, o.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q overlap", p.Title, o.Title)
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			expr := strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")
			for _, err := range q.check(expr) {
				t.Errorf("panel %q: %s: %v", p.Title, target.Expr, err)
			}
		}
	}
	if len(d.Panels) < 30 || d.Title != "Campagnol" {
		t.Errorf("%d panels of %q", len(d.Panels), d.Title)
	}
	clients, servers := 0, 0
	for name := range q.used {
		if strings.HasPrefix(name, "campagnol_rdv_") {
			servers++
		} else if strings.HasPrefix(name, "campagnol_") {
			clients++
		}
	}
	if clients < 20 || servers < 15 {
		t.Errorf("the dashboard shows %d metrics of clients and %d of servers", clients, servers)
	}
}
