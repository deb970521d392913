package conf

import (
	"os"
	"strings"
	"testing"
)

// TestManual checks that the manual has every key, with its default, and marks what
// the original does not know.
func TestManual(t *testing.T) {
	const page = "../packaging/man/campagnol.conf.5"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	items := map[string]string{}
	for _, item := range strings.Split(string(b), "\n.It Cm ")[1:] {
		name, text, _ := strings.Cut(item, "\n")
		items[name], _, _ = strings.Cut(text, "\n.El")
	}
	for _, k := range Keys() {
		text, ok := items[k.Name]
		switch {
		case !ok:
			t.Errorf("%s is not in %s", k.Name, page)
		case k.Default != "" && !strings.Contains(text, "The default is "+k.Default+"."):
			t.Errorf("%s: %s does not say that the default is %s", k.Name, page, k.Default)
		case strings.Contains(text, "Campagnol 0.3.5 ignores this key") != k.New:
			t.Errorf("%s: %s says that the key is new: %v, want %v", k.Name, page, !k.New, k.New)
		case strings.Contains(text, "Required") != k.Needed:
			t.Errorf("%s: %s says that it is required: %v, want %v", k.Name, page, !k.Needed, k.Needed)
		}
		delete(items, k.Name)
	}
	for name := range items {
		t.Errorf("%s has %s, which is no key", page, name)
	}
}
