package conf

import (
	"fmt"
	"io/fs"
	"net/netip"
)

// ParseClient reads the client's configuration from src. name is the name of
// the file, for messages.
//
// If src cannot be used, the error is a [Problem]: the one that the original
// would stop at. The problems are everything else that its author should know,
// in the order of the file; those of severity Error are lines that were
// skipped, and further values that make the file unusable.
func ParseClient(name string, src []byte) (*Client, []Problem, error) {
	return parseClient(name, src, 0)
}

// parseClient does the work of ParseClient for a file that those may read whom mode
// lets, which matters if there are passwords in it.
func parseClient(name string, src []byte, mode fs.FileMode) (*Client, []Problem, error) {
	f, r := parse(name, src)
	d := &decoder{file: f, mode: mode, report: r, client: &Client{File: name}, seen: map[*Value]bool{}}
	for i := range registry {
		d.key(&registry[i])
	}
	d.finishServers()
	d.localAddress()
	d.relaying()
	d.connecting()
	d.bothIPv6()
	d.leftovers()
	if d.fatal != nil {
		return nil, r.problems(), *d.fatal
	}
	return d.client, r.problems(), nil
}

// A decoder turns a File into a Client.
type decoder struct {
	file   *File
	report *report
	client *Client
	fatal  *Problem // the first value that was refused

	list   []Server // of server_host; port 0 is that of server_port
	values []*Value // of list

	mode     fs.FileMode // of the file; 0: it is not known, or nobody else may read it
	relayFor *Value      // that said last whether we relay for others; nil: none

	// seen holds the values for which it has been said that a comment in them
	// is none.
	seen map[*Value]bool
}

// refuse records why the file cannot be used.
func (d *decoder) refuse(p Problem) {
	p.Severity = Error
	if d.fatal == nil {
		p.File = d.file.Name
		d.fatal = &p
		return
	}
	d.report.add(p)
}

// key reads the value of one key.
func (d *decoder) key(k *definition) {
	st := d.file.Section(k.Section).Setting(k.Name)
	if k.Type == TypeCommand {
		d.commands(k, st)
		return
	}
	if st == nil {
		switch {
		case k.Needed:
			d.refuse(Problem{
				Section: k.Section, Key: k.Name,
				Text: fmt.Sprintf("%s is not set in [%s]", k.Name, k.Section),
				Hint: k.hint(),
			})
		case k.Default != "":
			k.set(d.client, &assignment{decoder: d, key: &k.Key, text: k.Default})
		}
	} else if k.set == nil {
		d.servers(k, st)
	} else if k.Several {
		for i := range st.Values {
			d.assign(k, &st.Values[i])
		}
	} else {
		d.assign(k, st.Last())
	}
	if k.Name == "ca_certificates_dir" {
		d.authorities()
	}
}

// assign puts v into the client.
func (d *decoder) assign(k *definition, v *Value) {
	a := &assignment{decoder: d, key: &k.Key, value: v, text: v.Expanded}
	if v.tooLong {
		a.fail("is too long when its ${} are replaced")
		return
	}
	k.set(d.client, a)
}

// authorities checks that there is something to verify peers with.
func (d *decoder) authorities() {
	if d.client.CACertificates == "" && d.client.CACertificatesDir == "" {
		d.refuse(Problem{
			Section: sectionSecurity, Key: "ca_certificates",
			Text: "neither ca_certificates nor ca_certificates_dir is set in [" + sectionSecurity + "]",
			Hint: "write: ca_certificates = the PEM file with the certificate of your authority",
		})
	}
}

// localAddress checks that there is a local address to publish.
func (d *decoder) localAddress() {
	c := d.client
	if !c.UseLocalAddr || c.OverrideLocalHost != "" || c.OverrideLocalAddr.IsValid() {
		return
	}
	if ip, err := netip.ParseAddr(c.LocalHost); err != nil || !ip.IsUnspecified() {
		return
	}
	d.refuse(Problem{
		Pos:     d.file.Section(sectionNetwork).Setting("local_host").Last().Pos,
		Section: sectionNetwork, Key: "local_host",
		Text: fmt.Sprintf("local_host %q is no address that peers can be told", c.LocalHost),
		Hint: "write use_local_addr = no, set override_local_addr, or give local_host an address of this host",
	})
}

// commands collects the values of up or down.
func (d *decoder) commands(k *definition, st *Setting) {
	if st == nil {
		return
	}
	list, builtin, name := &d.client.Up, d.client.DefaultUp, "default_up"
	if k.Name == "down" {
		list, builtin, name = &d.client.Down, d.client.DefaultDown, "default_down"
	}
	for i := range st.Values {
		v := &st.Values[i]
		if v.tooLong {
			d.assign(k, v)
			continue
		}
		*list = append(*list, v.Expanded)
	}
	if builtin {
		d.report.add(Problem{
			Pos: st.Values[0].KeyPos, Section: k.Section, Key: k.Name,
			Text: fmt.Sprintf("%s has no effect, because %s is yes", k.Name, name),
			Hint: fmt.Sprintf("write %s = no to run your commands instead of the built-in ones", name),
		})
	}
}

// leftovers reports what is in the file and not used, or not as it looks.
func (d *decoder) leftovers() {
	for _, s := range d.file.Sections {
		if !knownSection(s.Name) {
			if !d.report.full(Warning) {
				d.report.add(Problem{
					Pos: s.Pos, Section: s.Name,
					Text: fmt.Sprintf("[%s] is not a section of this file; what it sets is not used", plain(s.Name)),
					Hint: suggestSection(s.Name),
				})
			}
			continue
		}
		for _, st := range s.Settings {
			d.leftover(s, st)
		}
	}
}

func knownSection(name string) bool {
	for _, s := range sections {
		if s == name {
			return true
		}
	}
	return false
}

// leftover does the work of leftovers for one key.
func (d *decoder) leftover(s *Section, st *Setting) {
	k := lookup(s.Name, st.Name)
	warn := func(pos Pos, text, hint string) {
		d.report.add(Problem{Pos: pos, Section: s.Name, Key: st.Name, Text: text, Hint: hint})
	}
	// A key that a ${} refers to is the author's own.
	if k == nil && !s.used[st.Name] && !d.report.full(Warning) {
		warn(st.Values[0].KeyPos,
			fmt.Sprintf("%s is not a key of [%s]; it is not used", plain(st.Name), s.Name),
			suggestKey(s.Name, st.Name))
	}
	if k != nil && k.Type == TypeCommand {
		return // the shell has its own use for '#', ';' and ${}
	}
	for i := range st.Values {
		v := &st.Values[i]
		if i > 0 && k != nil && !k.Several {
			warn(v.KeyPos, fmt.Sprintf("%s is set again; the value in line %d is not used",
				st.Name, st.Values[i-1].KeyPos.Line), "take one of the lines out")
		}
		if v.comment != (Pos{}) && !d.seen[v] && !d.report.full(Warning) {
			warn(v.comment, fmt.Sprintf("%s is a part of the value of %s, not a comment",
				shownComment(s, st.Name, v), plain(st.Name)),
				commentHint(s, st.Name, v)+"; or quote all of it if that is what you mean")
		}
		for _, name := range v.unknown {
			warn(v.Pos, fmt.Sprintf("[%s] has no key %s; ${%s} stays as it is", s.Name, plain(name), plain(name)),
				"write $${ for ${ if it is meant as it is")
		}
	}
}

// shownComment returns what looks like a comment in v for a message.
func shownComment(s *Section, key string, v *Value) string {
	if s.Shown(key, v.Raw) != v.Raw {
		return fmt.Sprintf("what begins with %q", v.Raw[v.commentAt])
	}
	return quote(v.Raw[v.commentAt:])
}

// commentHint says how to write the comment that v seems to have.
func commentHint(s *Section, key string, v *Value) string {
	return fmt.Sprintf("quote the value: %s = %s %c comment",
		plain(key), quote(s.Shown(key, trimBlanks(v.Raw[:v.commentAt]))), v.Raw[v.commentAt])
}

func trimBlanks(s string) string {
	for s != "" && isBlank(int(s[len(s)-1])) {
		s = s[:len(s)-1]
	}
	return s
}
