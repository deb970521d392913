package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"slices"
)

// A file is one of a package. A folder has a path that ends with a slash.
type file struct {
	path   string // where it is installed
	data   []byte
	mode   os.FileMode
	config bool // what people have changed is kept
}

// A tree is what is installed, in the order of paths.
type tree struct {
	arch  string
	files []file
}

func (t *tree) add(f file) {
	i, _ := slices.BinarySearchFunc(t.files, f, func(a, b file) int { return cmp.Compare(a.path, b.path) })
	t.files = slices.Insert(t.files, i, f)
}

// installed is what is taken from the source tree as it is.
var installed = []struct {
	from, to string
	mode     os.FileMode
	zip      bool
	config   bool
}{
	{"packaging/systemd/campagnol.service", "/usr/lib/systemd/system/campagnol.service", 0o644, false, false},
	{"packaging/systemd/campagnol@.service", "/usr/lib/systemd/system/campagnol@.service", 0o644, false, false},
	{"packaging/systemd/campagnol_rdv.service", "/usr/lib/systemd/system/campagnol_rdv.service", 0o644, false, false},
	{"packaging/systemd/campagnol.sysusers", "/usr/lib/sysusers.d/campagnol.conf", 0o644, false, false},
	{"packaging/polkit/campagnol.rules", "/usr/share/polkit-1/rules.d/campagnol.rules", 0o644, false, false},
	{"packaging/systemd/rdv.env", "/etc/campagnol/rdv.env", 0o640, false, true},
	{"packaging/logrotate/campagnol", "/etc/logrotate.d/campagnol", 0o644, false, true},
	{"campagnol.conf.example", "/usr/share/doc/campagnol/examples/campagnol.conf", 0o644, false, false},
	{"packaging/openrc/campagnol", "/usr/share/doc/campagnol/examples/openrc/campagnol", 0o755, false, false},
	{"packaging/openrc/campagnol_rdv", "/usr/share/doc/campagnol/examples/openrc/campagnol_rdv", 0o755, false, false},
	{"CHANGELOG.md", "/usr/share/doc/campagnol/changelog.gz", 0o644, true, false},
	{"README.md", "/usr/share/doc/campagnol/README.md", 0o644, false, false},
	{"docs/install.md", "/usr/share/doc/campagnol/install.md", 0o644, false, false},
	{"packaging/copyright", "/usr/share/doc/campagnol/copyright", 0o644, false, false},
	{"LICENSE", "/usr/share/doc/campagnol/LICENSE", 0o644, false, false},
}

// tree returns what is installed on an architecture.
func (b *build) tree(ctx context.Context, arch string) (*tree, error) {
	t := &tree{arch: arch}
	dir, err := b.compile(ctx, arch)
	if err != nil {
		return nil, err
	}
	for _, program := range programs {
		name := filepath.Base(program)
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		t.add(file{path: "/usr/sbin/" + name, data: data, mode: 0o755})
	}
	for _, s := range installed {
		data, err := os.ReadFile(filepath.Join(b.root, s.from))
		if err != nil {
			return nil, err
		}
		if s.zip {
			data = zipped(data)
		}
		t.add(file{path: s.to, data: data, mode: s.mode, config: s.config})
	}
	if err := b.addManual(t); err != nil {
		return nil, err
	}
	t.add(file{path: "/etc/campagnol/", mode: 0o750})
	for _, dir := range []string{"", "examples/", "examples/openrc/"} { // rpm removes what is named
		t.add(file{path: "/usr/share/doc/campagnol/" + dir, mode: 0o755})
	}
	return t, b.completions(ctx, t)
}

// addManual adds the manual pages of the source tree.
func (b *build) addManual(t *tree) error {
	entries, err := os.ReadDir(filepath.Join(b.root, manDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		section := pageFile.FindStringSubmatch(e.Name())
		if section == nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(b.root, manDir, e.Name()))
		if err != nil {
			return err
		}
		t.add(file{path: "/usr/share/man/man" + section[1] + "/" + e.Name() + ".gz", data: zipped(data), mode: 0o644})
	}
	return nil
}

// zipped returns data as gzip has it, without name and time: the same for the same.
func zipped(data []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // which is a level
	w.Write(data)                                         // to memory
	w.Close()
	return b.Bytes()
}
