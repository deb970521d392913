package conf

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

const examplePath = "../campagnol.conf.example"

// commentedKey matches a key that is commented out. Prose has a blank behind
// the '#'.
var commentedKey = regexp.MustCompile(`(?m)^#([a-z_]+6? = )`)

func readExample(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestExampleLoads checks that the example works as it is, and that what it
// sets is what a client needs: anything else is the default.
func TestExampleLoads(t *testing.T) {
	c, problems, err := LoadClient(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	if len(problems) > 0 {
		t.Errorf("problems:\n%s", list(problems))
	}
	if c.Certificate != "/etc/campagnol/client.pem" || c.ServerHost != "rdv.example.org" {
		t.Errorf("got %+v", c)
	}
	f, _ := Parse(examplePath, []byte(readExample(t)))
	for _, k := range Keys() {
		set := f.Section(k.Section).Setting(k.Name) != nil
		if want := k.Needed || k.Name == "ca_certificates"; set != want {
			t.Errorf("%s is set: %v, want %v", k.Name, set, want)
		}
	}
}

// TestExampleIsComplete checks, with all comment signs in front of keys taken
// away, that there is every key once, in its section, and with its default.
func TestExampleIsComplete(t *testing.T) {
	text := commentedKey.ReplaceAllString(readExample(t), "$1")
	f, problems := Parse("f", []byte(text))
	if len(problems) > 0 {
		t.Errorf("problems:\n%s", list(problems))
	}
	for _, k := range Keys() {
		st := f.Section(k.Section).Setting(k.Name)
		if st == nil {
			t.Errorf("[%s] %s is missing", k.Section, k.Name)
			continue
		}
		if len(st.Values) != 1 {
			t.Errorf("%s is there %d times", k.Name, len(st.Values))
		}
		if got := st.Last().Expanded; k.Default != "" && got != k.Default {
			t.Errorf("%s = %s, the default is %s", k.Name, got, k.Default)
		}
	}
	for _, s := range f.Sections {
		for _, st := range s.Settings {
			if lookup(s.Name, st.Name) == nil && !s.used[st.Name] {
				t.Errorf("[%s] %s is not a key", s.Name, st.Name)
			}
		}
	}

	// The values that are only examples must be good ones.
	_, problems, err := ParseClient("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		// up and down are shown next to the defaults that rule them out, and so is
		// the switch.
		if p.Key != "up" && p.Key != "down" && p.Section != sectionEthernet || !strings.Contains(p.Text, "has no effect") {
			t.Errorf("problem: %v", p)
		}
	}
}

// TestExampleDocuments checks that every key has an explanation right above it,
// which names its unit and marks what the original does not know.
func TestExampleDocuments(t *testing.T) {
	paragraphs := map[string]string{}
	for part := range strings.SplitSeq(readExample(t), "\n\n") {
		lines := strings.Split(strings.TrimRight(part, "\n"), "\n")
		name, _, found := strings.Cut(strings.TrimPrefix(lines[len(lines)-1], "#"), " = ")
		if found && len(lines) > 1 {
			paragraphs[name] = strings.Join(lines[:len(lines)-1], "\n")
		}
	}
	for _, k := range Keys() {
		text := paragraphs[k.Name]
		if !strings.HasPrefix(text, "# ") {
			t.Errorf("%s has no text above it", k.Name)
		}
		if !strings.Contains(text, k.Unit) {
			t.Errorf("%s: the text does not say %q", k.Name, k.Unit)
		}
		if got := strings.Contains(text, "Campagnol 0.3.5 ignores this key"); got != k.New {
			t.Errorf("%s: the text says that the key is new: %v, want %v", k.Name, got, k.New)
		}
		if got := strings.Contains(text, "Required"); got != (k.Needed || k.Name == "ca_certificates") {
			t.Errorf("%s: the text says that it is required: %v", k.Name, got)
		}
		isExample := k.Default == "" && !k.Needed && k.Name != "ca_certificates"
		if got := strings.Contains(text, "Example:"); got != isExample {
			t.Errorf("%s: the text says that the value is an example: %v, want %v", k.Name, got, isExample)
		}
	}
}

// TestExampleReads checks that what the file shows as a value is what is read: quotes in
// the middle of one vanish, and blanks around them with them.
func TestExampleReads(t *testing.T) {
	text := commentedKey.ReplaceAllString(readExample(t), "$1")
	f, _ := Parse("f", []byte(text))
	section, seen := "", 0
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
		}
		name, value, found := strings.Cut(line, " = ")
		if !found || strings.HasPrefix(line, "#") {
			continue
		}
		seen++
		if got := f.Section(section).Setting(name).Last().Raw; got != value {
			t.Errorf("[%s] %s shows %q, which is read as %q", section, name, value, got)
		}
	}
	if seen < len(Keys()) {
		t.Errorf("%d values, want at least %d", seen, len(Keys()))
	}
}
