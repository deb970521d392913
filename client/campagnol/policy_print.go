package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"campagnol/pki/policy"
)

// A policyRecord is a policy in the output of --json.
type policyRecord struct {
	File        string          `json:"file"`
	Version     uint64          `json:"version"`
	Digest      string          `json:"digest"`
	Default     decisionRecord  `json:"default"`
	Groups      []groupRecord   `json:"groups"`
	TalkRules   int             `json:"talk_rules"`
	RelayRules  int             `json:"relay_rules"`
	FilterRules int             `json:"filter_rules"`
	Warnings    []warningRecord `json:"warnings"`
}

type groupRecord struct {
	Name    string `json:"name"`
	Line    int    `json:"line"`
	Members int    `json:"members"`
}

type warningRecord struct {
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
}

// A decisionRecord is a decision, or a rule. Line is missing for a default.
type decisionRecord struct {
	Allowed bool   `json:"allowed"`
	Line    int    `json:"line,omitempty"`
	Text    string `json:"text"`
}

func decisionRecordOf(d policy.Decision) decisionRecord {
	return decisionRecord{d.Allowed, d.Line, d.Text}
}

func decisionRecords(list []policy.Decision) []decisionRecord {
	records := []decisionRecord{}
	for _, d := range list {
		records = append(records, decisionRecordOf(d))
	}
	return records
}

// printPolicy says what is in a policy.
func printPolicy(w io.Writer, p *policy.Policy, asJSON bool) error {
	s, id := p.Summary(), p.ID()
	if asJSON {
		r := policyRecord{File: p.Name(), Version: id.Version, Digest: hex.EncodeToString(id.Digest[:]), Default: decisionRecordOf(s.Default),
			Groups: []groupRecord{}, TalkRules: s.TalkRules, RelayRules: s.RelayRules, FilterRules: s.FilterRules, Warnings: []warningRecord{}}
		for _, g := range s.Groups {
			r.Groups = append(r.Groups, groupRecord(g))
		}
		for _, x := range p.Warnings() {
			r.Warnings = append(r.Warnings, warningRecord(x))
		}
		return caJSON(w, r)
	}
	fmt.Fprintf(w, "%s is in order: version %d, digest %s\n", p.Name(), id.Version, hex.EncodeToString(id.Digest[:6]))
	fmt.Fprintf(w, "  rules: %d about talking, %d about relays, %d about packets\n", s.TalkRules, s.RelayRules, s.FilterRules)
	fmt.Fprintf(w, "  a pair that no rule speaks of is %s\n", s.Default)
	for _, g := range s.Groups {
		fmt.Fprintf(w, "  group %s: %s, line %d\n", g.Name, plural(g.Members, "member"), g.Line)
	}
	for _, x := range p.Warnings() {
		fmt.Fprintf(w, "warning: %s\n", x)
	}
	return nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// A policyReport is what a policy says about two members.
type policyReport struct {
	A           string           `json:"a"`
	B           string           `json:"b"`
	Talk        decisionRecord   `json:"talk"` // A opens the tunnel
	Back        decisionRecord   `json:"back"` // B does
	Relays      []decisionRecord `json:"relays"`
	RelaysForA  []decisionRecord `json:"a_relays"`
	RelaysForB  []decisionRecord `json:"b_relays"`
	Filter      []decisionRecord `json:"filter"`
	FilterBack  []decisionRecord `json:"filter_back"`
	talk, other policy.Decision
}

// policyReportOf asks p about a and b, which are called so.
func policyReportOf(p *policy.Policy, a, b policy.Member, nameA, nameB string) *policyReport {
	r := &policyReport{A: nameA, B: nameB, talk: p.Talk(a, b), other: p.Talk(b, a)}
	r.Talk, r.Back = decisionRecordOf(r.talk), decisionRecordOf(r.other)
	r.Relays = decisionRecords(p.Relays(a, b))
	r.RelaysForA, r.RelaysForB = decisionRecords(p.RelaysFor(a)), decisionRecords(p.RelaysFor(b))
	r.Filter, r.FilterBack = filterRecords(p.Filter(a, b)), filterRecords(p.Filter(b, a))
	return r
}

// filterRecords returns the rules that packets can reach: those up to the first
// that fits every packet.
func filterRecords(list []policy.FilterRule) []decisionRecord {
	records := []decisionRecord{}
	for _, f := range list {
		records = append(records, decisionRecord{f.Allow, f.Line, f.Text})
		if f.From == nil && f.To == nil && f.Services == nil {
			return records
		}
	}
	return append(records, decisionRecord{Allowed: true, Text: "everything else is allowed"})
}

// print writes the report.
func (r *policyReport) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return caJSON(w, r)
	}
	var b strings.Builder
	if r.Talk == r.Back {
		fmt.Fprintf(&b, "%s and %s: %s\n", r.A, r.B, r.talk)
	} else {
		fmt.Fprintf(&b, "%s to %s: %s\n%s to %s: %s\n", r.A, r.B, r.talk, r.B, r.A, r.other)
	}
	if r.Talk.Allowed || r.Back.Allowed {
		printRules(&b, "relays between them", append(r.Relays, decisionRecord{Text: "nobody else"}))
		printRules(&b, "flows that "+r.A+" begins", r.Filter)
		printRules(&b, "flows that "+r.B+" begins", r.FilterBack)
	}
	printRules(&b, r.A+" as a relay of others", r.RelaysForA)
	printRules(&b, r.B+" as a relay of others", r.RelaysForB)
	_, err := io.WriteString(w, b.String())
	return err
}

// printRules lists rules under a title, if there are any.
func printRules(b *strings.Builder, title string, rules []decisionRecord) {
	if len(rules) == 0 {
		return
	}
	fmt.Fprintf(b, "%s:\n", title)
	for _, d := range rules {
		if d.Line == 0 {
			fmt.Fprintf(b, "  %s\n", d.Text)
		} else {
			fmt.Fprintf(b, "  line %d: %s\n", d.Line, d.Text)
		}
	}
}
