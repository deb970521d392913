package ca

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"campagnol/pki"
	"campagnol/pki/bulletin"
	"campagnol/pki/safefile"
)

// retiredName has the last revocation lists of keys that were replaced. They stay
// in crl.pem: members may trust the old certificate for as long as it is valid.
const retiredName = "retired.pem"

// Rotate replaces the key of the CA by a new one. New certificates are signed by
// that; the last key stays for its revocation list, and signs the bulletin that
// makes the new certificate known to those who trust the old one. opts.Settings
// and opts.Passphrase do not count: the new key is encrypted as the last one is.
//
// What is to come is made complete in next/ first, and counts from the moment that
// the certificate is there: after a crash the next command goes on from there.
func (c *CA) Rotate(now time.Time, rand io.Reader, opts InitOptions) (*bulletin.Bulletin, error) {
	unlock, x, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if opts.Name == "" {
		opts.Name = successor(c.Cert.Subject.CommonName)
	}
	opts.Settings = Settings{}
	if err := opts.check(); err != nil {
		return nil, err
	}
	if err := c.canRotate(opts.Name); err != nil {
		return nil, err
	}
	var pass []byte
	if ask := c.Passphrase; ask != nil {
		c.Passphrase = func(path string) (p []byte, err error) {
			p, err = ask(path)
			pass = p
			return p, err
		}
		defer func() { c.Passphrase = ask }()
	}
	oldKey, err := c.key()
	if err != nil {
		return nil, err
	}
	opts.Passphrase = pass
	last, err := c.Bulletin()
	if err != nil {
		return nil, err
	}
	key, err := newKey(rand, opts.RSA)
	if err != nil {
		return nil, err
	}
	cert, err := selfSign(opts, now, rand, key)
	if err != nil {
		return nil, err
	}
	b, err := c.prepare(now, rand, opts, last, bulletin.Signer{Cert: cert, Key: key}, bulletin.Signer{Cert: c.Cert, Key: oldKey})
	if err != nil {
		return nil, err
	}
	if err := c.current(); err != nil {
		return nil, err
	}
	_, err = c.writeCRL(now, rand, key, x, DefaultCRLDays)
	return b, err
}

// successor returns the name of the next CA: with a number, so that nobody takes
// one for the other.
func successor(name string) string {
	stem, n := name, 1
	if i := strings.LastIndexByte(name, ' '); i > 0 {
		if k, err := strconv.Atoi(name[i+1:]); err == nil && k > 1 && k < 1000 {
			stem, n = name[:i], k
		}
	}
	number := " " + strconv.Itoa(n+1)
	return stem[:min(len(stem), maxCommonName-len(number))] + number
}

func (c *CA) canRotate(name string) error {
	last, err := c.previous()
	switch {
	case err != nil:
		return err
	case last != nil:
		return withHint(fmt.Errorf("ca: the key of the CA is being replaced already, since %s", day(issuedAt(c.Cert))), "finish that first: campagnol ca rotate --finish")
	case !c.isRoot():
		return withHint(errors.New("ca: this is an intermediate CA, whose key cannot be replaced in this way"), "get another certificate from the CA above it")
	case name == c.Cert.Subject.CommonName:
		return fmt.Errorf("ca: the new certificate needs a name of its own, not %q again", name)
	}
	return nil
}

// prepare writes everything that a replacement of the key takes into previous/ and
// next/, the certificate last.
func (c *CA) prepare(now time.Time, rand io.Reader, opts InitOptions, last *bulletin.Bulletin, next, old bulletin.Signer) (*bulletin.Bulletin, error) {
	oldKey, err := safefile.Read(c.Files.Key, maxSmallFile)
	if err != nil {
		return nil, fmt.Errorf("ca: key of the CA: %w", err)
	}
	defer clear(oldKey)
	newKey, err := encodeKey(rand, next.Key, opts.Passphrase)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	policy := ""
	if last != nil {
		policy = last.Policy
	}
	signers := []bulletin.Signer{next, old}
	b := c.nextBulletin(now, last, policy, signers)
	signed, err := bulletin.Sign(rand, b, signers...)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	dirs := []string{filepath.Join(c.Dir, previousDir), filepath.Join(c.Dir, nextDir)}
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		safefile.Sweep(filepath.Join(d, "*"))
	}
	for _, f := range []struct {
		path string
		data []byte
		mode fs.FileMode
	}{
		{c.previousFile(rotationKey), oldKey, 0o600},
		{c.previousFile(rotationCert), certPEM(old.Cert), 0o644},
		{c.nextFile(rotationKey), newKey, 0o600},
		{c.nextFile(bulletinName), signed, 0o644},
		{c.nextFile(rotationCert), certPEM(next.Cert), 0o644},
	} {
		if err := safefile.Write(f.path, f.data, f.mode); err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
	}
	return b, nil
}

func (c *CA) nextFile(name string) string { return filepath.Join(c.Dir, nextDir, name) }

// current makes c the CA that is in the directory now: it puts a new key in force
// that was prepared, and reads the certificate again, which another program may
// have replaced. The caller holds the lock.
func (c *CA) current() error {
	if err := c.putInForce(); err != nil {
		return err
	}
	certs, err := pki.LoadCertificates(c.Files.Cert)
	if err != nil {
		return fmt.Errorf("ca: certificate of the CA: %w", err)
	}
	if !certs[0].Equal(c.Cert) {
		c.Cert, c.signer = certs[0], nil
	}
	return nil
}

// putInForce moves what is in next/ to its place. It may have been interrupted at
// any point before: what has been moved is moved again.
func (c *CA) putInForce() error {
	if _, err := os.Stat(c.nextFile(rotationCert)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, f := range []struct {
		from, to string
		mode     fs.FileMode
	}{
		{c.nextFile(rotationKey), c.Files.Key, 0o600},
		{c.nextFile(bulletinName), c.bulletinFile(), 0o644},
		{c.nextFile(rotationCert), c.Files.Cert, 0o644},
	} {
		data, err := safefile.Read(f.from, bulletin.MaxSize)
		if err == nil {
			err = safefile.Write(f.to, data, f.mode)
			clear(data)
		}
		if err != nil {
			return fmt.Errorf("ca: put the new key in force: %w", err)
		}
	}
	for _, name := range []string{rotationCert, rotationKey, bulletinName} { // the certificate first: without it the rest means nothing
		if err := os.Remove(c.nextFile(name)); err != nil {
			return fmt.Errorf("ca: %w", err)
		}
	}
	os.Remove(filepath.Join(c.Dir, nextDir)) // empty, and no matter
	return nil
}

// A Rotation tells how far the replacement of a key is.
type Rotation struct {
	Since    time.Time
	Old, New *x509.Certificate
	Waiting  []Entry // certificates by the old key that are valid and have no successor
}

// Rotation returns the state of a replacement, or nil if there is none.
func (c *CA) Rotation(now time.Time) (*Rotation, error) {
	x, err := c.readIndex()
	if err != nil {
		return nil, err
	}
	return c.rotation(now, x)
}

func (c *CA) rotation(now time.Time, x *index) (*Rotation, error) {
	last, err := c.previous()
	if last == nil || err != nil {
		return nil, err
	}
	r := &Rotation{Since: issuedAt(c.Cert), Old: last, New: c.Cert}
	issuers, renewed := []*x509.Certificate{c.Cert, last}, map[string]bool{}
	for _, rec := range x.records() {
		if cert := c.stored(rec); cert != nil && rec.valid(now) && issuerOf(issuers, cert) == c.Cert {
			renewed[c.nameOf(rec)] = true
		}
	}
	for _, rec := range x.records() {
		cert := c.stored(rec)
		if cert != nil && rec.valid(now) && !renewed[c.nameOf(rec)] && issuerOf(issuers, cert) == last {
			r.Waiting = append(r.Waiting, c.entry(now, rec))
		}
	}
	return r, nil
}

// FinishRotation ends the replacement of a key: the old one signs a last
// revocation list and a last bulletin, and is deleted. It refuses while hosts have
// no other certificate than one by the old key, unless force says so.
func (c *CA) FinishRotation(now time.Time, rand io.Reader, force bool) (*Rotation, error) {
	unlock, x, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer unlock()
	r, err := c.rotation(now, x)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, withHint(errors.New("ca: no key of the CA is being replaced"), "begin with: campagnol ca rotate")
	}
	if n := len(r.Waiting); n > 0 && !force {
		return nil, withHint(fmt.Errorf("ca: %d hosts have a certificate by the old key only, %q first, valid until %s", n, r.Waiting[0].Name, day(r.Waiting[0].Expires)),
			"renew those certificates; \"campagnol ca rotate --finish --force\" shuts these hosts out")
	}
	signers, err := c.signers()
	if err != nil {
		return nil, err
	}
	if err := c.writeLast(now, rand, x, signers); err != nil {
		return nil, err
	}
	// The certificate first: without it, the key is not looked at.
	for _, name := range []string{rotationCert, rotationKey} {
		if err := os.Remove(c.previousFile(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("ca: %w", err)
		}
	}
	os.Remove(filepath.Join(c.Dir, previousDir))
	_, err = c.writeCRL(now, rand, signers[0].Key, x, DefaultCRLDays)
	return r, err
}

// writeLast writes what the old key, signers[1], signs for the last time.
func (c *CA) writeLast(now time.Time, rand io.Reader, x *index, signers []bulletin.Signer) error {
	number, err := c.nextCRLNumber()
	if err != nil {
		return err
	}
	old := signers[1]
	block, err := c.signCRL(now, rand, old, x, &List{Number: number, Next: old.Cert.NotAfter}, true)
	if err != nil {
		return err
	}
	kept, err := c.retired(now)
	if err != nil {
		return err
	}
	if err := safefile.Write(filepath.Join(c.Dir, retiredName), append(kept, block...), 0o644); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	last, err := c.Bulletin()
	if err != nil {
		return err
	}
	policy := ""
	if last != nil {
		policy = last.Policy
	}
	data, err := bulletin.Sign(rand, c.nextBulletin(now, last, policy, signers[:1]), signers...)
	if err == nil {
		err = safefile.Write(c.bulletinFile(), data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	return nil
}

// retired returns the last lists of keys that were replaced, PEM, but those that
// nobody needs any more.
func (c *CA) retired(now time.Time) ([]byte, error) {
	data, err := safefile.Read(filepath.Join(c.Dir, retiredName), maxCRLFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	var out []byte
	for b, rest := pem.Decode(data); b != nil; b, rest = pem.Decode(rest) {
		if l, err := x509.ParseRevocationList(b.Bytes); err == nil && now.Before(l.NextUpdate) {
			out = append(out, pem.EncodeToMemory(b)...)
		}
	}
	return out, nil
}
