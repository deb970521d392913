package pki

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// hashName matches the file names that OpenSSL looks for in a directory: the
// hash of a name, a dot, "r" for revocation lists, and a number that counts
// from 0 the files of one hash.
var hashName = regexp.MustCompile(`^([0-9a-f]{8})\.(r?)(0|[1-9][0-9]{0,4})$`)

// A hashGroup are the files of one hash and kind that OpenSSL tries in turn.
type hashGroup struct {
	hash uint32
	crl  bool
}

// readDir reads an OpenSSL directory of certificates and revocation lists.
// What cannot be read in it, or would not be found, is a warning.
func (f *contents) readDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	groups, others := hashGroups(entries)
	if len(groups) == 0 {
		if others > 0 {
			return fmt.Errorf("%s: no file is named by its hash, so that none of the %d files is used; run: openssl rehash %s", dir, others, dir)
		}
		return fmt.Errorf("%s: the directory is empty", dir)
	}
	for _, g := range slices.SortedFunc(maps.Keys(groups), compareGroups) {
		f.readGroup(dir, g, groups[g])
	}
	return nil
}

// hashGroups sorts the names in a directory into groups of numbers, and counts
// the files that might hold certificates but have another name.
func hashGroups(entries []os.DirEntry) (groups map[hashGroup][]int, others int) {
	groups = map[hashGroup][]int{}
	for _, e := range entries {
		m := hashName.FindStringSubmatch(e.Name())
		if m == nil {
			if ext := strings.ToLower(filepath.Ext(e.Name())); ext == ".pem" || ext == ".crt" || ext == ".cer" || ext == ".crl" {
				others++
			}
			continue
		}
		hash, _ := strconv.ParseUint(m[1], 16, 32) // the expression matched
		n, _ := strconv.Atoi(m[3])
		g := hashGroup{uint32(hash), m[2] == "r"}
		groups[g] = append(groups[g], n)
	}
	return groups, others
}

func compareGroups(a, b hashGroup) int {
	if a.crl != b.crl {
		if a.crl {
			return 1
		}
		return -1
	}
	return cmp.Compare(a.hash, b.hash)
}

// name returns the name of file n of a group.
func (g hashGroup) name(n int) string {
	if g.crl {
		return fmt.Sprintf("%08x.r%d", g.hash, n)
	}
	return fmt.Sprintf("%08x.%d", g.hash, n)
}

// readGroup reads the files of a group up to the first gap, where OpenSSL
// stops to look.
func (f *contents) readGroup(dir string, g hashGroup, numbers []int) {
	slices.Sort(numbers)
	for want, n := range numbers {
		path := filepath.Join(dir, g.name(n))
		if n != want {
			f.warn("%s: not used, because there is no %s; run: openssl rehash %s", path, g.name(want), dir)
			return
		}
		err := f.readHashed(path, g)
		if err == nil {
			continue
		}
		if g.crl {
			f.crlProblems = append(f.crlProblems, err.Error())
		} else {
			f.warn("%v", err)
		}
	}
}

// readHashed reads one file of a group. All of its content counts, once OpenSSL
// has opened it, but the name has to lead there.
func (f *contents) readHashed(path string, g hashGroup) error {
	var one contents
	file, err := readPEM(path, maxCRLFile)
	if err != nil {
		return err
	}
	for i, b := range file.blocks {
		where := fmt.Sprintf("%s: PEM block %d", path, i+1)
		switch {
		case g.crl && b.Type == pemCRL:
			if err := one.addCRL(where, b.Bytes); err != nil {
				return err
			}
		case !g.crl && isCertificate(b):
			one.addCertificate(where, b)
		}
	}
	if len(one.warnings) > 0 {
		return errors.New(strings.Join(one.warnings, "; "))
	}
	if err := one.checkHash(path, g.hash); err != nil {
		return err
	}
	f.certs = append(f.certs, one.certs...)
	f.crls = append(f.crls, one.crls...)
	return nil
}

// checkHash checks that the name of the file leads to one of its objects.
func (f *contents) checkHash(path string, hash uint32) error {
	var hashes []uint32
	for _, c := range f.certs {
		if h, err := nameHash(c.RawSubject); err == nil {
			hashes = append(hashes, h)
		}
	}
	for _, l := range f.crls {
		hashes = append(hashes, hashCanonical([]byte(l.issuer)))
	}
	if len(hashes) == 0 {
		return fmt.Errorf("%s: nothing in this file is of the kind that its name says", path)
	}
	if !slices.Contains(hashes, hash) {
		return fmt.Errorf("%s: not used, because its name should be %08x (names of OpenSSL before 1.0 have another hash); run: openssl rehash %s", path, hashes[0], filepath.Dir(path))
	}
	return nil
}
