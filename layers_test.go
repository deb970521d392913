package campagnol_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers lists what each package of the module may import from the module; its
// order is bottom up. Tests are exempt. A new package has to be added here,
// which is the moment to think about where it belongs.
var layers = map[string][]string{
	"conf":                         {"internal/spell", "punch", "tunnel/packet"},
	"internal/cli":                 {},
	"internal/control":             {"internal/audit", "internal/group", "pki/safefile"},
	"internal/daemon":              {},
	"internal/audit":               {"internal/group", "internal/journal", "internal/logging"},
	"internal/journal":             {},
	"internal/logging":             {"internal/journal"},
	"internal/metrics":             {"internal/cli", "internal/httpd", "internal/version"},
	"internal/metrics/metricstest": {"internal/metrics"},
	"internal/sandbox":             {"internal/group"},
	"internal/group":               {},
	"internal/service":             {"internal/audit", "internal/cli", "internal/daemon", "internal/logging"},
	"internal/testenv":             {},
	"internal/spell":               {},
	"internal/version":             {},
	"internal/httpd":               {},
	"internal/human":               {},

	"internal/testenv/chromium": {"internal/testenv"},
	"internal/testenv/guide":    {},

	"internal/filewatch": {},

	"pki":          {"pki/safefile"},
	"pki/bulletin": {"pki"},
	"pki/enroll":   {"pki", "pki/bulletin"},
	"pki/ca":       {"internal/audit", "pki", "pki/bulletin", "pki/enroll", "pki/ocsp", "pki/safefile"},
	"pki/ocsp":     {"pki"},
	"pki/pkitest":  {"internal/testenv"},
	"pki/policy":   {"internal/spell", "pki", "pki/safefile"},
	"pki/safefile": {},

	"rdv/wire":               {},
	"rdv/channel":            {"punch", "punch/nat"},
	"punch":                  {"rdv/wire"},
	"punch/udp":              {"punch"},
	"punch/local":            {},
	"punch/nat":              {},
	"punch/hard":             {"punch/nat"},
	"punch/stun":             {},
	"punch/natcheck":         {"punch", "punch/nat", "punch/stun"},
	"punch/simnet":           {"punch", "punch/nat", "rdv/wire"},
	"punch/path":             {"punch"},
	"punch/turn":             {"punch", "punch/turn/channeldata"},
	"punch/turn/channeldata": {},
	"punch/stream":           {"punch"},

	"tunnel/packet":     {},
	"tunnel/device":     {"tunnel/packet", "tunnel/segment"},
	"tunnel/record":     {},
	"tunnel/cipherlist": {"tunnel/record"},
	"tunnel/segment":    {},
	"tunnel/handshake":  {"tunnel/record"},
	"tunnel/filter":     {"pki/policy"},
	"tunnel/l2":         {"tunnel/l2/ether", "tunnel/segment"},
	"tunnel/l2/ether":   {},
	"tunnel/pmtu":       {},
	"tunnel":            {"tunnel/filter", "tunnel/handshake", "tunnel/packet", "tunnel/record"},

	"tunnel/l2/mcast":          {"tunnel/l2/mcast/gmp"},
	"tunnel/l2/mcast/gmp":      {},
	"tunnel/l2/mcast/scenario": {"tunnel/l2/mcast/gmp"},

	"punch/portmap": {},

	"internal/names":          {},
	"internal/names/resolved": {},

	"rdv/relay": {"punch", "punch/stream", "punch/turn/channeldata"},

	"rdv/internal/load":  {"punch", "punch/udp", "rdv/channel", "rdv/wire", "tunnel/handshake", "tunnel/record"},
	"rdv/internal/probe": {"punch"},
	"rdv":                {"internal/audit", "internal/logging", "pki", "pki/bulletin", "pki/policy", "pki/safefile", "punch", "punch/nat", "punch/stream", "punch/stun", "punch/turn/channeldata", "rdv/channel", "rdv/relay", "rdv/wire", "tunnel/handshake", "tunnel/record"},
	"rdv/web":            {"internal/human", "punch/nat", "rdv"},
	"client":             {"punch", "punch/hard", "punch/nat", "punch/natcheck", "punch/path", "punch/stream", "rdv/channel", "rdv/wire", "tunnel", "tunnel/device", "tunnel/filter", "tunnel/handshake", "tunnel/l2", "tunnel/l2/ether", "tunnel/l2/mcast", "tunnel/packet", "tunnel/pmtu", "tunnel/record", "tunnel/segment"},

	"internal/lab/clock":    {},
	"internal/lab/frame":    {},
	"internal/lab/program":  {"internal/lab/clock", "internal/lab/frame"},
	"internal/lab/scenario": {"internal/lab/frame"},

	"internal/lab":    {"internal/lab/clock", "internal/lab/frame", "internal/lab/program", "internal/lab/scenario"},
	"internal/manual": {"conf", "internal/cli"},
	"packaging/build": {"conf", "internal/cli", "internal/manual", "internal/version"},

	"internal/bench": {"internal/cli", "internal/lab", "internal/version", "pki/ca"},

	"client/campagnol": {
		"client", "conf", "internal/audit", "internal/cli", "internal/control", "internal/filewatch", "internal/httpd", "internal/human", "internal/lab", "internal/logging", "internal/metrics", "internal/sandbox", "internal/service", "internal/version",
		"internal/names", "internal/names/resolved", "internal/spell",
		"pki", "pki/bulletin", "pki/ca", "pki/enroll", "pki/ocsp", "pki/policy", "pki/safefile", "punch", "punch/hard", "punch/local", "punch/nat", "punch/natcheck", "punch/portmap", "punch/stream", "punch/turn", "punch/udp", "rdv/channel", "rdv/wire", "tunnel/cipherlist", "tunnel/device", "tunnel/filter", "tunnel/handshake", "tunnel/l2", "tunnel/l2/ether", "tunnel/l2/mcast", "tunnel/record", "tunnel/segment",
	},
	"rdv/campagnol_rdv": {
		"conf", "internal/audit", "internal/cli", "internal/control", "internal/filewatch", "internal/httpd", "internal/human", "internal/logging", "internal/metrics", "internal/sandbox", "internal/service", "internal/version", "pki", "pki/ca", "pki/ocsp", "pki/policy", "pki/safefile", "punch", "punch/stream", "punch/udp", "rdv", "rdv/channel", "rdv/relay", "rdv/web", "tunnel/handshake",
	},
}

// TestLayers checks the imports of every package against layers.
func TestLayers(t *testing.T) {
	const module = "campagnol/"
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		allowed, ok := layers[pkg]
		if !ok && !seen[pkg] {
			t.Errorf("package %s is not in the table of layers", pkg)
		}
		seen[pkg] = true
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imp := range f.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			if dep, ours := strings.CutPrefix(p, module); ours && !slices.Contains(allowed, dep) {
				t.Errorf("%s: package %s must not import %s", path, pkg, dep)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range layers {
		if !seen[pkg] {
			t.Errorf("the table of layers names package %s, which does not exist", pkg)
		}
	}
}
