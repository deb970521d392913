package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"campagnol/conf"
	"campagnol/internal/cli"
	"campagnol/internal/testenv"
)

// manualPages returns the files of the manual pages in the source tree.
func manualPages(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../man/*.[1-9]")
	if err != nil || len(pages) < 20 {
		t.Fatalf("manual pages: %q, %v", pages, err)
	}
	return pages
}

// rendered returns a page as a reader sees it, without bold and underlined letters.
func rendered(t *testing.T, page, format string) string {
	t.Helper()
	out, err := exec.Command(testenv.Tool(t, "mandoc", "mandoc"), "-T", format, page).CombinedOutput()
	if err != nil {
		t.Fatalf("mandoc -T %s %s: %v\n%s", format, page, err, out)
	}
	return regexp.MustCompile(`.\x08`).ReplaceAllString(string(out), "")
}

// flat returns a rendered page with one blank in place of all white space.
func flat(t *testing.T, page string) string {
	t.Helper()
	text := regexp.MustCompile(`-\n +`).ReplaceAllString(rendered(t, page, "ascii"), "-")
	return strings.Join(strings.Fields(text), " ")
}

// TestManualIsGenerated: the pages in the source tree are what is made of the texts of
// commands, keys and prose now.
func TestManualIsGenerated(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the pages are about the programs on Linux, which do not run here")
	}
	b, _ := treeForTests(t)
	pages, err := b.pages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const remedy = `run "go run ./packaging/build man"`
	made := map[string]bool{}
	for _, p := range pages {
		made[p.File()] = true
		got, err := os.ReadFile(filepath.Join("../man", p.File()))
		if err != nil {
			t.Errorf("%v: %s", err, remedy)
		} else if string(got) != string(p.Text) {
			t.Errorf("%s is not what it is made of: %s", p.File(), remedy)
		}
	}
	for _, page := range manualPages(t) {
		if !made[filepath.Base(page)] {
			t.Errorf("nothing makes %s: %s", page, remedy)
		}
	}
}

// TestManWrites: the command writes what is missing and what has changed, and removes
// pages that are not made any more.
func TestManWrites(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the pages are about the programs on Linux, which do not run here")
	}
	real, _ := treeForTests(t)
	pages, err := real.pages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := *real
	b.root = t.TempDir()
	dir := filepath.Join(b.root, manDir)
	if err := os.MkdirAll(filepath.Join(dir, "src"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"campagnol.8": "old", "campagnol-gone.8": "old", "notes.txt": "mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.writePages(pages); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	for _, p := range pages {
		want = append(want, p.File())
	}
	want = append(want, "notes.txt", "src")
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "campagnol.8")); err != nil || string(text) == "old" {
		t.Errorf("campagnol.8: %q, %v", text, err)
	}
}

// TestManualPages: mandoc has nothing to say about the style of a page, and shows it in
// 80 columns, with letters of ASCII alone, too.
func TestManualPages(t *testing.T) {
	mandoc := testenv.Tool(t, "mandoc", "mandoc")
	for _, page := range manualPages(t) {
		out, _ := exec.Command(mandoc, "-T", "lint", "-W", "style", page).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			// Which pages this system has does not matter: TestManualReferences.
			if !strings.Contains(line, "referenced manual not found") && !strings.Contains(line, "outdated mandoc.db") {
				t.Errorf("%s", line)
			}
		}
		for _, format := range []string{"utf8", "ascii"} {
			for line := range strings.Lines(rendered(t, page, format)) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
					t.Errorf("%s, as %s: %d columns: %s", page, format, n, line)
				}
			}
		}
	}
}

// others are the pages of the system that ours refer to.
var others = []string{"openssl-ca 1", "sd_notify 3", "ip-netns 8"}

// TestManualReferences: a page to see is one of ours, or a known one of the system.
func TestManualReferences(t *testing.T) {
	reference := regexp.MustCompile(`Xr ([a-z_.0-9-]+) ([1-9])`)
	used := map[string]bool{}
	for _, page := range manualPages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		found := reference.FindAllStringSubmatch(string(text), -1)
		if len(found) == 0 {
			t.Errorf("%s refers to no page", page)
		}
		for _, r := range found {
			if slices.Contains(others, r[1]+" "+r[2]) {
				used[r[1]+" "+r[2]] = true
			} else if _, err := os.Stat("../man/" + r[1] + "." + r[2]); err != nil {
				t.Errorf("%s refers to %s(%s), which is not there", page, r[1], r[2])
			}
		}
	}
	for _, page := range others {
		if !used[page] {
			t.Errorf("no page refers to %s: strike it from the list", page)
		}
	}
}

// describedPrograms returns what the programs say of themselves.
func describedPrograms(t *testing.T) []cli.Description {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the pages are about the programs on Linux, which do not run here")
	}
	b, _ := treeForTests(t)
	programs, err := b.described(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return programs
}

// TestManualHasCommands: every command and every option of both programs is on a page,
// with the default of the option.
func TestManualHasCommands(t *testing.T) {
	for _, program := range describedPrograms(t) {
		text := flat(t, "../man/"+program.Name+".8")
		wantFlags(t, text, program.Name, program.Flags)
		for _, cmd := range program.Commands {
			page := program.Name + "-" + cmd.Name
			if cmd.Name == "help" {
				if !strings.Contains(text, " help "+cmd.Short) {
					t.Errorf("%s.8 lacks the command help", program.Name)
				}
				continue
			}
			if want := cmd.Name + " " + cmd.Short + "; see " + page + "(8)."; !strings.Contains(text, want) {
				t.Errorf("%s.8 lacks %q", program.Name, want)
			}
			own := flat(t, "../man/"+page+".8")
			wantFlags(t, own, page, cmd.Flags)
			for _, sub := range cmd.Commands {
				_, section, found := strings.Cut(own, cmd.Name+" "+sub.Name+": "+strings.ToLower(sub.Short[:1])+sub.Short[1:]+" ")
				if !found {
					t.Errorf("%s.8 lacks the command %s", page, sub.Name)
				}
				wantFlags(t, section, page+" "+sub.Name, sub.Flags)
			}
		}
	}
}

// compared returns a text as it is compared: without what the markup changes.
func compared(text string) string {
	text = strings.NewReplacer(`"`, "", "“", "", "”", "", "‘", "", "’", "", "'", "", "`", "", "$", "").Replace(text)
	return strings.ToLower(strings.Join(strings.Fields(text), " "))
}

// TestManualKeepsWords: readers of a page read every word of the help, in its order.
func TestManualKeepsWords(t *testing.T) {
	for _, program := range describedPrograms(t) {
		for _, cmd := range program.Commands {
			if cmd.Name == "help" {
				continue
			}
			page := "../man/" + program.Name + "-" + cmd.Name + ".8"
			joined := regexp.MustCompile(`-\n +`).ReplaceAllString(rendered(t, page, "utf8"), "-")
			text := compared(joined)
			for _, d := range append(cmd.Commands, cmd) {
				for paragraph := range strings.SplitSeq(d.Long, "\n\n") {
					if !strings.Contains(text, compared(paragraph)) {
						t.Errorf("%s lacks, of the help of %s: %s", page, d.Name, paragraph)
					}
				}
			}
		}
	}
}

// wantFlags checks that a text explains options.
func wantFlags(t *testing.T, text, name string, flags []cli.Flag) {
	t.Helper()
	for _, f := range flags {
		item := "--" + f.Name
		if f.Shorthand != "" {
			item = "-" + f.Shorthand + ", " + item
		}
		_, after, found := strings.Cut(text, " "+item+" ")
		if f.Optional {
			_, after, found = strings.Cut(text, " "+item+"[=")
		}
		if !found {
			t.Errorf("the page about %s lacks %s", name, item)
		}
		if f.Default != "" && !strings.Contains(after, "The default is "+f.Default+".") {
			t.Errorf("the page about %s does not say that the default of %s is %s", name, item, f.Default)
		}
	}
}

// TestManualHasKeys: every key of the configuration is in its page, with the default
// that the code has, and with what the original makes of it.
func TestManualHasKeys(t *testing.T) {
	text, err := os.ReadFile("../man/campagnol.conf.5")
	if err != nil {
		t.Fatal(err)
	}
	facts := map[string]string{} // what is behind "Value:", by "SECTION key"
	for _, section := range strings.Split(string(text), "\n.Ss [")[1:] {
		name, items, _ := strings.Cut(section, "],")
		for _, item := range strings.Split(items, "\n.It Cm ")[1:] {
			key, about, _ := strings.Cut(item, "\n")
			explained, value, found := strings.Cut(about, "\nValue: ")
			if _, twice := facts[name+" "+key]; twice || !found || len(explained) < 20 {
				t.Errorf("[%s] %s: there twice %v, or not explained: %q", name, key, twice, about)
			}
			facts[name+" "+key] = unmarked(value)
		}
	}
	for _, k := range conf.Keys() {
		said, ok := facts[k.Section+" "+k.Name]
		if !ok {
			t.Errorf("[%s] %s is missing", k.Section, k.Name)
		}
		delete(facts, k.Section+" "+k.Name)
		for what, want := range map[string]bool{
			"the default is " + k.Default + ".": k.Default != "",
			"there is no default.":              k.Default == "" && !k.Needed,
			"required.":                         k.Needed,
			"Campagnol 0.3.5 ignores this key.": k.New,
			"may be given several times.":       k.Several,
		} {
			if got := strings.Contains(said, what); got != want {
				t.Errorf("%s: the page says %q: %v, want %v; it says %q", k.Name, what, got, want, said)
			}
		}
		if !strings.Contains(said, k.Unit) {
			t.Errorf("%s: the page does not say that the unit is %s: %q", k.Name, k.Unit, said)
		}
	}
	for key := range facts {
		t.Errorf("the page has %s, which is no key", key)
	}
}

// unmarked returns the words of mdoc without macros.
func unmarked(mdoc string) string {
	text := regexp.MustCompile(`(?m)^\.[A-Z][a-z] `).ReplaceAllString(mdoc, "")
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, `\-`, "-")), " ")
	return strings.ReplaceAll(text, " .", ".")
}
