package control

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// fields returns the names of the fields of a document as docs/control.md writes
// them: rdv.host, peers[].state.
func fields(t *testing.T, typ reflect.Type, prefix string) []string {
	t.Helper()
	var names []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "" || tag != strings.ToLower(tag) {
			t.Errorf("the field %s of %s has the name %q in JSON", f.Name, typ, tag)
		}
		name := prefix + tag
		names = append(names, name)
		inner := f.Type
		if inner.Kind() == reflect.Slice {
			name += "[]"
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner.PkgPath() == typ.PkgPath() {
			names = append(names, fields(t, inner, name+".")...)
		}
	}
	return names
}

// documentedField matches a line of the table of fields: name, type, meaning.
var documentedField = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([a-z]+) \\| (.+) \\|$")

// TestDocumentation compares docs/control.md with the documents, both ways.
func TestDocumentation(t *testing.T) {
	for _, c := range []struct {
		section, path string
		document      reflect.Type
	}{
		{"The status", StatusPath, reflect.TypeFor[Status]()},
		{"The table of hardware addresses", FDBPath, reflect.TypeFor[FDB]()},
		{"The table of groups", MDBPath, reflect.TypeFor[MDB]()},
		{"The explanation of a peer", ExplainPath, reflect.TypeFor[Explanation]()},
		{"The list of peers", PeersPath, reflect.TypeFor[Peers]()},
		{"The log level", LogLevelPath, reflect.TypeFor[LogLevel]()},
		{"Events", EventsPath, reflect.TypeFor[Events]()},
		{"The bug report", BugReportPath, reflect.TypeFor[BugReport]()},
		{"The answer to a ping", PingPath, reflect.TypeFor[Pong]()},
		{"A tunnel that was closed", DisconnectPath, reflect.TypeFor[Disconnection]()},
		{"A configuration that was read again", ReloadPath, reflect.TypeFor[Reload]()},
		{"The status of a rendezvous server", RDVStatusPath, reflect.TypeFor[RDVStatus]()},
		{"The clients of a rendezvous server", RDVClientsPath, reflect.TypeFor[RDVClients]()},
		{"The events of a rendezvous server", RDVEventsPath, reflect.TypeFor[RDVEvents]()},
	} {
		t.Run(c.section, func(t *testing.T) { checkDocumented(t, c.section, c.path, c.document) })
	}
}

// checkDocumented compares a section of docs/control.md with the document at a path.
func checkDocumented(t *testing.T, section, path string, document reflect.Type) {
	t.Helper()
	text, err := os.ReadFile("../../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+section+"\n")
	if !found {
		t.Fatalf("docs/control.md has no section %q", section)
	}
	table, _, _ := strings.Cut(rest, "\n## ")
	table, _, _ = strings.Cut(table, "\n### ")
	documented := map[string]string{} // types by field
	var order []string
	for _, m := range documentedField.FindAllStringSubmatch(table, -1) {
		if documented[m[1]] != "" {
			t.Errorf("%s is documented twice", m[1])
		}
		documented[m[1]] = m[2]
		order = append(order, m[1])
	}
	want := fields(t, document, "")
	for _, name := range want {
		if documented[name] == "" {
			t.Errorf("%s is not documented", name)
		}
	}
	for _, name := range order {
		if !slices.Contains(want, name) {
			t.Errorf("%s is documented, but is not there", name)
		}
	}
	if !t.Failed() && !slices.Equal(order, want) {
		t.Errorf("documented in the order\n%q, want\n%q", order, want)
	}
	for name, typ := range documented {
		if got := jsonType(t, document, name); got != "" && got != typ {
			t.Errorf("%s is documented as %s, want %s", name, typ, got)
		}
	}
	if !strings.Contains(string(text), "`GET "+path+"`") && !strings.Contains(string(text), "`POST "+path+"`") {
		t.Errorf("the request for %s is not documented", path)
	}
}

// jsonType returns how docs/control.md calls the type of a field.
func jsonType(t *testing.T, typ reflect.Type, name string) string {
	t.Helper()
	for part := range strings.SplitSeq(name, ".") {
		part, isList := strings.CutSuffix(part, "[]")
		i := slices.IndexFunc(reflect.VisibleFields(typ), func(f reflect.StructField) bool {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			return tag == part
		})
		if i < 0 {
			return ""
		}
		if typ = typ.Field(i).Type; isList {
			typ = typ.Elem()
		}
	}
	switch {
	case typ == reflect.TypeFor[time.Time]():
		return "time"
	case typ.PkgPath() == "net/netip":
		return map[string]string{"Addr": "address", "AddrPort": "endpoint", "Prefix": "network"}[typ.Name()]
	}
	switch typ.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice:
		return "list"
	case reflect.Map:
		return "counters"
	case reflect.Struct:
		return "object"
	}
	return "number"
}
