package pki

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A PolicyConfig says where the files are that decide whom we believe. At
// least one of CAFile and CADir is needed.
type PolicyConfig struct {
	// CAFile is a PEM file with the certificates of the root CAs, and of
	// intermediate CAs if peers do not send them.
	CAFile string

	// CADir is a directory in OpenSSL's format (several, separated like the
	// PATH): certificates in files <hash>.N and revocation lists in <hash>.rN,
	// as "openssl rehash" makes them. It is read once, not at each lookup. What
	// OpenSSL would never find (a wrong hash, a gap in the numbers N) is not
	// used, and a warning says so.
	CADir string

	// CRLFile is a PEM file with revocation lists. When it is set, every peer
	// has to be covered by a list of its issuer, from this file, from CADir or
	// from CAFile; when it is empty, no list counts wherever it lies.
	CRLFile string

	// Lists are revocation lists that are held in memory. They count beside those
	// of CRLFile, and without one, too: then they refuse whom they name, and no
	// peer has to be covered by one.
	Lists []*List

	// VerifyDepth is the highest index that a certificate may have in a chain,
	// where the leaf has 0 and the root counts: 1 allows roots that issue
	// leaves, 2 one intermediate CA. 0 means 100.
	VerifyDepth int
}

// defaultDepth is OpenSSL's.
const defaultDepth = 100

// A Policy says whom we believe. It does not change after it was made and is
// safe for concurrent use.
type Policy struct {
	roots            *x509.CertPool
	rootList         []*x509.Certificate
	intermediates    *x509.CertPool
	intermediateList []*x509.Certificate
	retired          []*x509.Certificate // were roots, see WithAuthorities
	depth            int

	checkCRL bool              // every peer has to be covered
	fileCRLs []*crl            // of files
	crls     map[string][]*crl // all, by canonical name of the issuer
	crlFile  string            // for messages
	noCRL    []string          // what went wrong while revocation lists were read

	warnings []string
}

// LoadPolicy reads the files of cfg. Without any root it returns an error.
// Revocation lists that cannot be read are none: peers that need them are
// refused, like they are by Campagnol 0.3.5, and [Policy.Warnings] tells why.
// The time now is only used for warnings.
func LoadPolicy(cfg PolicyConfig, now time.Time) (*Policy, error) {
	if cfg.VerifyDepth < 0 {
		return nil, fmt.Errorf("pki: verify_depth %d is negative", cfg.VerifyDepth)
	}
	if cfg.CAFile == "" && cfg.CADir == "" {
		return nil, errors.New("pki: no roots: at least one of ca_certificates and ca_certificates_dir is needed")
	}
	var found contents
	if cfg.CAFile != "" {
		if err := found.readFile(cfg.CAFile); err != nil {
			return nil, fmt.Errorf("pki: ca_certificates: %w", err)
		}
	}
	for _, dir := range filepath.SplitList(cfg.CADir) {
		if err := found.readDir(dir); err != nil {
			if cfg.CAFile == "" {
				return nil, fmt.Errorf("pki: ca_certificates_dir: %w", err)
			}
			found.warn("ca_certificates_dir: %v", err)
		}
	}
	p := &Policy{depth: cfg.VerifyDepth, crlFile: cfg.CRLFile, checkCRL: cfg.CRLFile != ""}
	if p.checkCRL {
		found.readCRLFile(cfg.CRLFile)
		p.noCRL = found.crlProblems
	} else {
		found.crls = nil
	}
	if err := p.build(found); err != nil {
		return nil, err
	}
	p.use(cfg.Lists)
	p.warnings = append(found.warnings, p.review(now)...)
	return p, nil
}

// NewPolicy returns the policy with the given CA certificates and verify depth
// (0 means 100). With crls (DER) that are not nil, every peer has to be covered
// by one of them, so that an empty slice refuses everybody.
func NewPolicy(cas []*x509.Certificate, crls [][]byte, depth int) (*Policy, error) {
	found := contents{certs: cas}
	for i, der := range crls {
		if err := found.addCRL(fmt.Sprintf("list %d", i), der); err != nil {
			return nil, fmt.Errorf("pki: %w", err)
		}
	}
	p := &Policy{depth: depth, checkCRL: crls != nil, crlFile: "(memory)"}
	if err := p.build(found); err != nil {
		return nil, err
	}
	return p, nil
}

// build sorts what was found into roots, intermediates and lists.
func (p *Policy) build(found contents) error {
	if p.depth == 0 {
		p.depth = defaultDepth
	}
	p.roots, p.intermediates = x509.NewCertPool(), x509.NewCertPool()
	for _, c := range found.certs {
		// Only a self-signed certificate ends a chain. Go would also trust an
		// intermediate CA without its root, and not notice when the root
		// expires.
		if selfSigned(c) {
			p.roots.AddCert(c)
			p.rootList = append(p.rootList, c)
		} else {
			p.intermediates.AddCert(c)
			p.intermediateList = append(p.intermediateList, c)
		}
	}
	if len(p.rootList) == 0 {
		return p.noRoots(found)
	}
	p.fileCRLs = found.crls
	p.use(nil)
	return nil
}

// noRoots says why there are none.
func (p *Policy) noRoots(found contents) error {
	var why string
	switch {
	case len(p.intermediateList) > 0:
		var names []string
		for _, c := range p.intermediateList {
			names = append(names, subjectOf(c))
		}
		why = fmt.Sprintf("only intermediate CAs were found (%s): add the self-signed certificate of the root above them", strings.Join(names, ", "))
	case len(found.warnings) > 0:
		why = strings.Join(found.warnings, "; ")
	default:
		why = "no certificate was found"
	}
	return fmt.Errorf("pki: there is no root certificate, so that no peer could be accepted: %s", why)
}

// Warnings returns what an administrator should know about the files, as they
// were when they were loaded.
func (p *Policy) Warnings() []string { return slices.Clone(p.warnings) }

// Usable returns what is wrong with crl_file, if nothing in it can be used: peers are
// refused then, unless there are lists in memory.
func (p *Policy) Usable() error {
	switch {
	case !p.checkCRL || len(p.fileCRLs) > 0:
		return nil
	case len(p.crls) > 0:
		return fmt.Errorf("crl_file %s: there is no usable revocation list in it, so that only those count that the rendezvous server has sent", p.crlFile)
	}
	return fmt.Errorf("crl_file %s: there is no usable revocation list, so that every peer will be refused", p.crlFile)
}

// Roots returns the root certificates, for instance to name them to a peer.
func (p *Policy) Roots() []*x509.Certificate { return slices.Clone(p.rootList) }

// review returns what is worth a warning at now.
func (p *Policy) review(now time.Time) []string {
	var w []string
	add := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	for _, c := range slices.Concat(p.rootList, p.intermediateList) {
		left := c.NotAfter.Sub(now)
		switch {
		case checkTime(now, c) != nil:
			add("CA %v", checkTime(now, c))
		case left < expiryWarning:
			add("the CA %s expires on %s, in %d days, and with it every certificate that it issued", subjectOf(c), stamp(c.NotAfter), int(left.Hours()/24))
		}
		if r := checkKey(c); r != nil {
			add("CA %v", r)
		}
	}
	if p.checkCRL {
		w = append(w, p.noCRL...)
		if err := p.Usable(); err != nil {
			add("%v", err)
		}
	}
	for _, lists := range p.crls {
		if l := newest(now, lists); l != nil && l.expired(now) {
			add("%s", l.expiredWarning())
		}
	}
	slices.Sort(w)
	return w
}

// contents is what the files of a PolicyConfig hold.
type contents struct {
	certs       []*x509.Certificate
	crls        []*crl
	warnings    []string
	crlProblems []string
}

func (f *contents) warn(format string, args ...any) {
	f.warnings = append(f.warnings, fmt.Sprintf(format, args...))
}

// readFile reads certificates, and revocation lists that lie among them. A
// certificate that cannot be read is a warning: those beside it still count.
func (f *contents) readFile(path string) error {
	file, err := readPEM(path, maxPEMFile)
	if err != nil {
		return err
	}
	before := len(f.certs)
	for i, b := range file.blocks {
		where := fmt.Sprintf("%s: PEM block %d", path, i+1)
		switch {
		case isCertificate(b):
			f.addCertificate(where, b)
		case b.Type == pemCRL:
			if err := f.addCRL(where, b.Bytes); err != nil {
				f.crlProblems = append(f.crlProblems, err.Error())
			}
		}
	}
	if len(f.certs) == before && len(f.warnings) == 0 {
		return fmt.Errorf("%s: no certificate in this file, only %s", path, file.types())
	}
	return nil
}

func (f *contents) addCertificate(where string, b *pem.Block) {
	c, err := parseCertificate(b)
	if err != nil {
		f.warn("%s: %v", where, err)
		return
	}
	f.certs = append(f.certs, c)
}

// addCRL parses a revocation list, DER.
func (f *contents) addCRL(where string, der []byte) error {
	l, err := parseCRL(der)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	l.where = where
	f.crls = append(f.crls, l)
	return nil
}

// readCRLFile reads the lists of crl_file. Problems are kept: they explain why
// peers are refused.
func (f *contents) readCRLFile(path string) {
	problem := func(err error) { f.crlProblems = append(f.crlProblems, "crl_file: "+err.Error()) }
	file, err := readPEM(path, maxCRLFile)
	if err != nil {
		problem(err)
		return
	}
	n := 0
	for i, b := range file.blocks {
		if b.Type != pemCRL {
			continue
		}
		n++
		if err := f.addCRL(fmt.Sprintf("%s: PEM block %d", path, i+1), b.Bytes); err != nil {
			problem(err)
		}
	}
	if n == 0 {
		problem(fmt.Errorf("%s: no revocation list in this file, only %s", path, file.types()))
	}
}
