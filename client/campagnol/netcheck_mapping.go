package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"campagnol/conf"
	"campagnol/internal/human"
	"campagnol/punch/portmap"
)

// A mappingReport is about what the gateway can forward.
type mappingReport struct {
	Gateway  netip.Addr `json:"gateway,omitzero"`
	Speaks   []string   `json:"speaks"`
	External netip.Addr `json:"external,omitzero"`
	Private  bool       `json:"private,omitempty"`
	Reason   string     `json:"reason,omitempty"` // no gateway is known
}

// probeMapping begins to ask the gateway, which takes up to two seconds, beside all
// else. What it returns waits for the answer.
func probeMapping(ctx context.Context, cfg *conf.Client) func() *mappingReport {
	done := make(chan *mappingReport, 1)
	go func() { // which the function that is returned waits for
		r, err := portmap.Probe(ctx, cfg.Interface)
		done <- mappingReportOf(r, err)
	}()
	return func() *mappingReport { return <-done }
}

// mappingReportOf returns what a gateway has said.
func mappingReportOf(r portmap.Report, err error) *mappingReport {
	m := &mappingReport{Gateway: r.Way.Gateway, Speaks: []string{}, Private: r.Private()}
	if err != nil {
		m.Reason = err.Error()
		return m
	}
	for _, a := range r.Answers {
		if !a.Speaks {
			continue
		}
		m.Speaks = append(m.Speaks, a.Method.String())
		if !m.External.IsValid() {
			m.External = a.External
		}
	}
	return m
}

// describe says it for people.
func (m *mappingReport) describe() string {
	switch {
	case m.Reason != "":
		return "none: " + human.Printable(m.Reason)
	case len(m.Speaks) == 0:
		return fmt.Sprintf("%v speaks none of PCP, NAT-PMP and UPnP", m.Gateway)
	}
	text := fmt.Sprintf("%v speaks %s", m.Gateway, strings.Join(m.Speaks, ", "))
	if m.External.IsValid() {
		text += fmt.Sprintf("; outside it is %v", m.External)
	}
	if m.Private {
		text += ", which is a private address: there is another NAT behind it"
	}
	return text
}
