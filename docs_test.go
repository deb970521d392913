package campagnol_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"campagnol/internal/testenv/guide"
)

// unfollowed lists what no test does to the letter, by document and section, and
// why. Nothing else in a document may be without a test.
var unfollowed = map[string]string{
	"README.md#See it work":                                     "not yet",
	"README.md#Set up two hosts":                                "not yet",
	"docs/ca.md#A host that must not get in any more":           "not yet",
	"docs/ca.md#A new key for the CA":                           "not yet",
	"docs/ca.md#By hand: a VPN in five minutes":                 "not yet",
	"docs/ca.md#From Campagnol 0.3.5":                           "not yet",
	"docs/ca.md#Hosts that ask":                                 "not yet",
	"docs/ca.md#Hosts that join by themselves":                  "not yet",
	"docs/ca.md#Keys that never leave their host":               "not yet",
	"docs/ca.md#Renewal":                                        "not yet",
	"docs/ca.md#Serving the CA":                                 "not yet",
	"docs/ca.md#What a certificate says":                        "not yet",
	"docs/ca.md#What there is":                                  "not yet",
	"docs/ca.md#With OpenSSL, or another CA":                    "not yet",
	"docs/compat.md#How to replace it":                          "not yet",
	"docs/control.md#Asking":                                    "not yet",
	"docs/control.md#In short":                                  "not yet",
	"docs/control.md#The answer to a ping":                      "not yet",
	"docs/control.md#The list of peers":                         "not yet",
	"docs/control.md#The rendezvous server":                     "not yet",
	"docs/ethernet.md#A LAN party":                              "not yet",
	"docs/ethernet.md#DHCP":                                     "not yet",
	"docs/ethernet.md#Joining a LAN to it":                      "not yet",
	"docs/ethernet.md#VLANs":                                    "not yet",
	"docs/ethernet.md#When it does not work":                    "not yet",
	"docs/install.md#From Campagnol 0.3.5":                      "not yet",
	"docs/install.md#OpenRC":                                    "not yet",
	"docs/install.md#OpenWrt":                                   "not yet",
	"docs/install.md#Packages":                                  "not yet",
	"docs/install.md#systemd":                                   "not yet",
	"docs/metrics.md#In short":                                  "not yet",
	"docs/nat.md#Why am I not connected?":                       "not yet",
	"docs/performance.md#":                                      "not yet",
	"docs/performance.md#Look closer":                           "not yet",
	"docs/policy.md#Certificates":                               "not yet",
	"docs/policy.md#Of the authority":                           "not yet",
	"docs/policy.md#Three groups, one file":                     "not yet",
	"docs/policy.md#Warnings":                                   "not yet",
	"docs/rdv-load.md#Try it":                                   "not yet",
	"docs/rdv-load.md#What limits it":                           "not yet",
	"docs/rdv-web.md#Who can see it":                            "not yet",
	"docs/relay.md#In short":                                    "not yet",
	"docs/site-to-site.md#Does it work?":                        "not yet",
	"docs/site-to-site.md#The authority: who has which network": "not yet",
	"docs/site-to-site.md#The gateways":                         "not yet",
}

// TestDocumentsAreFollowed makes sure that every section of a document that tells
// people to type something is followed by a test (guide.Open), which does all of it.
func TestDocumentsAreFollowed(t *testing.T) {
	followed := followedSections(t)
	for _, path := range documents(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		blocks, err := guide.Parse(string(text))
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, b := range blocks {
			if len(b.Commands) == 0 {
				continue
			}
			at := path + "#" + b.Section
			_, excused := unfollowed[at]
			switch does := followed[path] || followed[at]; {
			case does && excused:
				t.Errorf("%s is followed by a test: strike it from the table unfollowed", at)
			case !does && !excused:
				t.Errorf("%s:%d: no test follows the section %q: nobody knows whether %q works", path, b.At, b.Section, b.Commands[0].Line)
			}
		}
	}
}

// documents returns the project's documents for people.
func documents(t *testing.T) []string {
	t.Helper()
	all := []string{"README.md"}
	err := filepath.WalkDir("docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			all = append(all, filepath.ToSlash(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// followedSections returns what the calls of guide.Open in the module's tests name:
// "docs/x.md" for all of a document, "docs/x.md#A section" for a section.
func followedSections(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") || path == "internal/testenv/guide/guide_test.go" {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && isGuideOpen(call) {
				names, err := literals(call.Args[1:])
				if err != nil {
					t.Errorf("%s: guide.Open: %v", path, err)
				}
				note(all, names)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func isGuideOpen(call *ast.CallExpr) bool {
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != "Open" || len(call.Args) < 2 {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == "guide"
}

// literals returns the values of string literals; nothing else may be there, so that
// this test can read it.
func literals(args []ast.Expr) (values []string, err error) {
	for _, a := range args {
		l, ok := a.(*ast.BasicLit)
		if !ok || l.Kind != token.STRING {
			return nil, fmt.Errorf("the document and its sections have to be string literals")
		}
		v, err := strconv.Unquote(l.Value)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// note adds a document and its sections to all.
func note(all map[string]bool, names []string) {
	switch len(names) {
	case 0:
	case 1:
		all[names[0]] = true
	default:
		for _, section := range names[1:] {
			all[names[0]+"#"+section] = true
		}
	}
}
