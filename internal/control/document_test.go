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

// TestDocumentation compares docs/control.md with the document, both ways.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text2, found := strings.Cut(string(text), "\n## The status\n")
	table, _, ended := strings.Cut(text2, "\n### ")
	if !found || !ended {
		t.Fatal("docs/control.md has no section \"The status\"")
	}
	documented := map[string]string{} // types by field
	var order []string
	for _, m := range documentedField.FindAllStringSubmatch(table, -1) {
		if documented[m[1]] != "" {
			t.Errorf("%s is documented twice", m[1])
		}
		documented[m[1]] = m[2]
		order = append(order, m[1])
	}
	want := fields(t, reflect.TypeFor[Status](), "")
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
		if got := jsonType(t, name); got != "" && got != typ {
			t.Errorf("%s is documented as %s, want %s", name, typ, got)
		}
	}
	if !strings.Contains(string(text), "`GET "+StatusPath+"`") {
		t.Errorf("the request for %s is not documented", StatusPath)
	}
}

// jsonType returns how docs/control.md calls the type of a field.
func jsonType(t *testing.T, name string) string {
	t.Helper()
	typ := reflect.TypeFor[Status]()
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
