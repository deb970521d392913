package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"campagnol/client"
	"campagnol/internal/control"
	"campagnol/internal/version"
)

const (
	// maxReported is how many peers are explained in a bug report.
	maxReported = 256

	// maxReportedFile bounds each text of a bug report, in bytes.
	maxReportedFile = 4 << 20

	// maxReportedConfig bounds the configuration that is read for it, in bytes.
	maxReportedConfig = 1 << 20
)

// A report is a bug report in the making.
type report struct {
	node  *node
	view  *view
	state client.Status
	clean *redactor
	files []control.BugReportFile
}

// bugReport answers a request for what helps to find out what is wrong.
func (n *node) bugReport(r *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*statusTime)
	defer cancel()
	v := n.view.Load()
	s, err := v.client.Status(ctx)
	if err != nil {
		return nil, unanswered(err)
	}
	p := &report{node: n, view: v, state: s, clean: newRedactor(r.URL.Query().Get("anonymous") == "yes")}
	now := time.Now()
	p.learnNames()
	config := p.config() // first: it tells what the secrets are
	p.add("version.txt", "program, Go, system and kernel", systemText())
	p.add("config.txt", "the configuration, without comments, commands and what nobody knows", config)
	p.addJSON("status.json", "as \"campagnol status --json\"", v.document(now, n.started, s))
	p.addJSON("nat.json", "what was found out about the way to the Internet, as \"campagnol netcheck\" calls it", natDocument(s.NAT))
	p.addJSON("explain.json", "as \"campagnol explain --json\", of each peer", p.explanations(ctx, now))
	events, _, _ := n.events.since(0)
	p.addJSON("events.json", "what has happened lately", events)
	if n.recent != nil {
		p.add("log.txt", "the last lines of the log", strings.Join(n.recent.Lines(), "\n")+"\n")
	}
	p.add("goroutines.txt", "what the program does, and how often", goroutinesText())
	p.files = append([]control.BugReportFile{p.contents(now)}, p.files...)
	return &control.BugReport{Version: version.String(), Time: now.UTC(), Anonymous: p.clean.anonymous, Files: p.files}, nil
}

// add adds a text, without what nobody else is to see.
func (p *report) add(name, about, text string) {
	if len(text) > maxReportedFile {
		text = text[:maxReportedFile] + "\n(cut)\n"
	}
	p.files = append(p.files, control.BugReportFile{Name: name, About: about, Text: p.clean.text(text)})
}

// addJSON adds a document.
func (p *report) addJSON(name, about string, doc any) {
	b, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		b = []byte(err.Error())
	}
	p.add(name, about, string(b)+"\n")
}

// contents lists the texts. It is the first one.
func (p *report) contents(now time.Time) control.BugReportFile {
	var b strings.Builder
	fmt.Fprintf(&b, "campagnol bug report, %s\n\n", now.UTC().Format(time.RFC3339))
	for _, f := range p.files {
		fmt.Fprintf(&b, "%-16s %8d bytes  %s\n", f.Name, len(f.Text), f.About)
	}
	b.WriteString("\nThere are no private keys in it, and what looks like a password was left out.\n")
	if p.clean.anonymous {
		b.WriteString("Addresses and names were replaced, each always by the same.\n")
	} else {
		b.WriteString("Addresses and names are in it; \"campagnol bugreport --anonymous\" replaces them.\n")
	}
	b.WriteString("Read it before you give it to anybody.\n")
	return control.BugReportFile{Name: "contents.txt", About: "this list", Text: b.String()}
}

// learnNames notes the names of hosts and people that an anonymous report is not to have.
func (p *report) learnNames() {
	var names []string
	for _, s := range p.state.Peers {
		names = append(names, s.Name)
	}
	for _, r := range p.state.RDVs {
		names = append(names, r.Server.Name)
	}
	for _, e := range p.view.trust.expiries() {
		names = append(names, namesIn(e.Name)...)
	}
	for _, s := range serversOf(p.view.cfg) {
		names = append(names, s.host)
	}
	events, _, _ := p.node.events.since(0)
	for _, e := range events {
		names = append(names, e.Name)
	}
	if host, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(host, ".")
		names = append(names, host, short)
	}
	names = append(names, p.view.cfg.LocalHost)
	for i, name := range names {
		if _, err := netip.ParseAddr(name); err == nil {
			names[i] = "" // it is replaced as an address
		}
	}
	p.clean.hide(names)
}

// namesIn returns the subject of a certificate, such as "CN=alice,O=VPN", and the names
// in it.
func namesIn(subject string) []string {
	names := []string{subject, strings.TrimPrefix(subject, "CN=")}
	for part := range strings.FieldsFuncSeq(subject, func(c rune) bool { return c == ',' || c == '+' }) {
		if _, name, ok := strings.Cut(part, "="); ok {
			names = append(names, name)
		}
	}
	return names
}

// config returns the configuration file, as far as others may see it.
func (p *report) config() string {
	st, err := os.Stat(p.node.file)
	switch {
	case err != nil:
		return err.Error() + "\n"
	case !st.Mode().IsRegular() || st.Size() > maxReportedConfig:
		return "it is no file that can be read again\n"
	}
	src, err := os.ReadFile(p.node.file)
	if err != nil {
		return err.Error() + "\n"
	}
	return p.clean.config(p.node.file, src)
}

// explanations explains all peers, with or without a tunnel.
func (p *report) explanations(ctx context.Context, now time.Time) []*control.Explanation {
	list := []*control.Explanation{}
	var addrs []netip.Addr
	for _, s := range p.state.Peers {
		addrs = append(addrs, s.VPNAddr)
	}
	for _, f := range p.state.Failures {
		addrs = append(addrs, f.VPNAddr)
	}
	for _, a := range addrs[:min(len(addrs), maxReported)] {
		e, err := p.view.client.Explain(ctx, a)
		if err != nil {
			break // the client ends
		}
		d := p.view.explanation(now, e)
		d.Asked = a.String()
		d.finish(explainConfig{port: p.view.cfg.LocalPort, mapping: p.view.cfg.PortMapping, hardNAT: p.view.cfg.HardNAT})
		list = append(list, &d.Explanation)
	}
	return list
}

// systemText says what the program runs on.
func systemText() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n%s %s/%s, %d processors\n", program, version.String(), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	for _, f := range []string{"/proc/sys/kernel/osrelease", "/proc/sys/kernel/version", "/etc/os-release"} {
		if text, err := os.ReadFile(f); err == nil { // of Linux
			fmt.Fprintf(&b, "\n%s:\n%s", f, text)
		}
	}
	return b.String()
}

// goroutinesText counts goroutines by what they do.
func goroutinesText() string {
	var b strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		return err.Error() + "\n"
	}
	return b.String()
}
