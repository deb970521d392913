package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers itself
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// description is what package managers show.
const description = `mesh VPN: encrypted tunnels straight between hosts behind NATs
Campagnol connects hosts behind home and office NATs by encrypted tunnels
(DTLS) straight to each other, introduced by a small public server, which
never sees their traffic. This package has the client, the authority for
certificates, and the rendezvous server.`

// pack makes a package of a tree by nfpm, and returns its path.
func (b *build) pack(t *tree, format string) (path string, err error) {
	contents, err := b.contents(t)
	if err != nil {
		return "", err
	}
	scripts := filepath.Join(b.root, "packaging", "scripts")
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "campagnol", Arch: t.arch, Version: b.version, MTime: b.at,
		Section: "net", Priority: "optional", License: "Apache-2.0",
		Maintainer: "The authors of Campagnol <campagnol@localhost>", Description: description,
		Overridables: nfpm.Overridables{
			Contents: contents,
			Scripts: nfpm.Scripts{
				PostInstall: filepath.Join(scripts, "postinst"),
				PreRemove:   filepath.Join(scripts, "prerm"),
				PostRemove:  filepath.Join(scripts, "postrm"),
			},
			Deb: nfpm.Deb{Arch: targets[t.arch].deb},
			RPM: nfpm.RPM{Arch: targets[t.arch].rpm, BuildHost: "localhost", Group: "Applications/Internet"},
		},
	})
	if format == "deb" {
		info.Recommends = []string{"ca-certificates"}
		info.Depends = []string{"passwd"} // for the user

	} else {
		info.Depends = []string{"shadow-utils"}
	}
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return "", err
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return "", err
	}
	var data bytes.Buffer
	if err := packager.Package(info, &data); err != nil {
		return "", err
	}
	path = filepath.Join(b.out, packager.ConventionalFileName(info))
	return path, os.WriteFile(path, data.Bytes(), 0o644)
}

// contents lays out a tree as nfpm wants it, in files.
func (b *build) contents(t *tree) (contents files.Contents, err error) {
	dir := filepath.Join(b.work, "tree-"+t.arch)
	for _, f := range t.files {
		c := &files.Content{Destination: f.path, FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: f.mode, MTime: b.at}}
		if strings.HasSuffix(f.path, "/") {
			c.Type = files.TypeDir
			contents = append(contents, c)
			continue
		}
		if f.config {
			c.Type = files.TypeConfigNoReplace
		}
		c.Source = filepath.Join(dir, f.path)
		if err := os.MkdirAll(filepath.Dir(c.Source), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(c.Source, f.data, 0o644); err != nil {
			return nil, err
		}
		contents = append(contents, c)
	}
	return contents, nil
}

// archive makes a .tar.gz of a tree, which is unpacked at /, and returns its path.
func (b *build) archive(t *tree) (path string, err error) {
	var data bytes.Buffer
	zip := gzip.NewWriter(&data)
	w := tar.NewWriter(zip)
	for _, f := range t.files {
		h := &tar.Header{Name: "." + f.path, Mode: int64(f.mode), Size: int64(len(f.data)), ModTime: b.at,
			Uname: "root", Gname: "root", Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if strings.HasSuffix(f.path, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return "", err
		}
		if _, err := w.Write(f.data); err != nil {
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	if err := zip.Close(); err != nil {
		return "", err
	}
	path = filepath.Join(b.out, fmt.Sprintf("campagnol_%s_linux_%s.tar.gz", b.version, t.arch))
	return path, os.WriteFile(path, data.Bytes(), 0o644)
}
