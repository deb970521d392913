package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"campagnol/conf"
	"campagnol/internal/cli"
	"campagnol/pki"
	"campagnol/pki/enroll"
	"campagnol/pki/safefile"
)

// joinFiles are the files of a host that joins.
type joinFiles struct {
	config, dir        string
	cert, key, ca, crl string
	pending            string // the key, from before the token is used until all is written

	fallbackPort uint16   // of the configuration
	proxy        *url.URL // likewise; nil: none
}

func newJoinFiles(config, dir string, id enroll.ID) (*joinFiles, error) {
	dir, err := filepath.Abs(dir) // the client may be started elsewhere
	if err == nil {
		config, err = filepath.Abs(config)
	}
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	return &joinFiles{config: config, dir: dir, cert: in("certificate.pem"), key: in("key.pem"), ca: in("ca.pem"), crl: in("crl.pem"),
		fallbackPort: defaultFallbackPort, pending: in(".join-" + id.String() + ".pem")}, nil
}

// takeKey returns the key of an attempt with the same token that did not come to
// its end, or makes one. It comes with what else has to work later: once the token
// is used, nothing should fail any more.
func (f *joinFiles) takeKey(rand io.Reader) (crypto.Signer, error) {
	hint := func(err error) error {
		if errors.Is(err, fs.ErrPermission) {
			return cli.WithHint(fmt.Errorf("join: %w", err), "run it as root, or name other places with --dir and --config")
		}
		return fmt.Errorf("join: %w", err)
	}
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return nil, hint(err)
	}
	probe, err := os.CreateTemp(filepath.Dir(f.config), ".campagnol-join-*")
	if err != nil {
		return nil, hint(err)
	}
	probe.Close()
	os.Remove(probe.Name())
	safefile.Sweep(f.pending)
	key, err := pki.LoadKey(f.pending)
	if err == nil {
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, cli.WithHint(fmt.Errorf("join: the key of an earlier attempt: %w", err), "remove %s; if the token is used up, another one is needed", f.pending)
	}
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	data, err := keyPEM(key)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	if err := safefile.Write(f.pending, data, 0o600); err != nil {
		return nil, hint(err)
	}
	return key, nil
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func certsPEM(certs []*x509.Certificate) []byte {
	var b []byte
	for _, c := range certs {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return b
}

// obstacles returns what stands where files are to be written, one line each: what
// there is, and what would change. An earlier attempt with the same token is none.
func (f *joinFiles) obstacles(server string) []string {
	if a, err := os.ReadFile(f.pending); err == nil {
		if b, err := os.ReadFile(f.key); err == nil && bytes.Equal(a, b) {
			return nil // we were interrupted while writing
		}
	}
	var list []string
	for _, path := range []string{f.key, f.cert, f.ca, f.crl} {
		if _, err := os.Lstat(path); err == nil {
			list = append(list, path+" would be replaced")
		}
	}
	if _, err := os.Lstat(f.config); err != nil {
		return list
	}
	old, _, err := conf.LoadClient(f.config)
	if err != nil {
		return append(list, f.config+" would be replaced")
	}
	list = append(list, fmt.Sprintf("%s would be replaced: it is that of %v in %v", f.config, old.VPNIP, old.Network))
	for _, c := range []struct{ key, is, becomes string }{
		{"the rendezvous server", serverNames(old), strings.ToLower(server)},
		{"certificate", old.Certificate, f.cert},
		{"key", old.Key, f.key},
		{"ca_certificates", old.CACertificates, f.ca},
	} {
		if c.is != c.becomes {
			list = append(list, fmt.Sprintf("  %s is %s and would be %s", c.key, c.is, c.becomes))
		}
	}
	return list
}

// A joinFile is a file to write.
type joinFile struct {
	path string
	data []byte
	mode fs.FileMode
}

// content returns the files for a result, in the order in which they are written:
// the configuration, which makes use of the others, comes last.
func (f *joinFiles) content(now time.Time, r *enroll.Result, server string) ([]joinFile, error) {
	key, err := keyPEM(r.Key)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	files := []joinFile{
		{f.key, key, 0o600},
		{f.cert, certsPEM(r.Chain), 0o644},
		{f.ca, certsPEM(r.Roots), 0o644},
	}
	crl := ""
	if lists := joinLists(r); lists != nil {
		crl = f.crl
		files = append(files, joinFile{f.crl, lists, 0o644})
	}
	text, err := f.configuration(now, r, server, crl)
	if err != nil {
		return nil, err
	}
	mode := os.FileMode(0o644)
	if f.proxy != nil && f.proxy.User != nil {
		mode = 0o600 // it has a password
	}
	return append(files, joinFile{f.config, []byte(text), mode}), nil
}

// joinLists returns the revocation lists, PEM, if there is one of every authority:
// with crl_file, peers of one without list are refused.
func joinLists(r *enroll.Result) []byte {
	if len(r.Chain) > 1 {
		return nil // that of the root is not here
	}
	var b []byte
	covered := map[*x509.Certificate]bool{}
	for _, der := range r.CRLs {
		l, err := x509.ParseRevocationList(der)
		if err != nil {
			continue
		}
		for _, root := range r.Roots {
			covered[root] = covered[root] || l.CheckSignatureFrom(root) == nil
		}
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	if slices.ContainsFunc(r.Roots, func(c *x509.Certificate) bool { return !covered[c] }) {
		return nil
	}
	return b
}

// write writes the files. Of what there was a copy with the ending .old remains;
// what is as it should be is left alone. After the first file, an error or a crash
// leaves the pending key, with which the same command goes on.
func (f *joinFiles) write(files []joinFile, force bool) error {
	if old, err := os.ReadFile(f.config); err == nil && !force && !bytes.Equal(old, files[len(files)-1].data) {
		return cli.WithHint(fmt.Errorf("join: %s has come into being meanwhile", f.config), "look at it, and run the same command again with --force")
	}
	for _, file := range files {
		old, err := os.ReadFile(file.path)
		switch {
		case err == nil && bytes.Equal(old, file.data):
			continue
		case err == nil:
			mode := file.mode
			if fi, err := os.Stat(file.path); err == nil {
				mode = fi.Mode().Perm()
			}
			err = safefile.Write(file.path+".old", old, mode)
		case errors.Is(err, fs.ErrNotExist):
			err = nil
		}
		if err == nil {
			err = safefile.Write(file.path, file.data, file.mode)
		}
		if err != nil {
			return cli.WithHint(fmt.Errorf("join: %w", err), "the certificate is there; when this is mended, run the same command again")
		}
	}
	if err := os.Remove(f.pending); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("join: %w", err)
	}
	return nil
}

// configuration returns the text of the configuration, and makes sure that it says
// what it is meant to.
func (f *joinFiles) configuration(now time.Time, r *enroll.Result, server, crl string) (string, error) {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		return "", fmt.Errorf("join: %w", err)
	}
	i := slices.IndexFunc(r.Addrs, func(a netip.Addr) bool { return r.Network.Contains(a) })
	if i < 0 {
		return "", fmt.Errorf("join: no address in %v", r.Network)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# Configuration of the campagnol client. "campagnol join" has written it for
# %s on %s. The manual page campagnol.conf(5) explains all keys.

[NETWORK]

# The rendezvous server, which introduces the hosts of the VPN to each other.
server_host = %s
server_port = %s

# This host and the server prove to each other who they are.
rdv_auth = yes
%s
[VPN]

# The address of this host in the VPN. The certificate names it: to change it
# takes another certificate.
vpn_ip = %v
network = %v
%s%s
[SECURITY]

# Who this host is. The key never leaves it.
certificate = %s
key = %s

# Ask the authority for the next certificate before this one ends.
renew_certificate = yes

# The authority of the VPN: hosts with a certificate of it are let in.
ca_certificates = %s
`, r.Name, now.UTC().Format("2006-01-02"), host, port, f.ways(), r.Addrs[i], r.Network, joinIPv6(r), joinDomain(r), quoteConf(f.cert), quoteConf(f.key), quoteConf(f.ca))
	if crl != "" {
		fmt.Fprintf(&b, "\n# Certificates that are let in no more.\ncrl_file = %s\n", quoteConf(crl))
	}
	text := b.String()
	cfg, problems, err := conf.ParseClient(f.config, []byte(text))
	if err != nil {
		return "", fmt.Errorf("join: the configuration that comes from the authority's answer cannot be used: %w", err)
	}
	if len(problems) > 0 || cfg.Certificate != f.cert || cfg.Key != f.key || cfg.CACertificates != f.ca || cfg.CRLFile != crl ||
		cfg.ServerHost != host || cfg.FallbackPort != f.fallbackPort || (cfg.HTTPProxy == nil) != (f.proxy == nil) ||
		f.proxy != nil && cfg.HTTPProxy.String() != f.proxy.String() || cfg.VPNIP != r.Addrs[i] || cfg.Network6 != r.Network6 || cfg.DNSDomain != r.Domain {
		return "", cli.WithHint(fmt.Errorf("join: the names of files under %s, or the proxy, cannot be written in a configuration", f.dir), "choose another directory with --dir")
	}
	return text, nil
}

// ways returns the settings about TLS to the rendezvous server that are not as without them.
func (f *joinFiles) ways() string {
	text := ""
	if f.fallbackPort != defaultFallbackPort {
		text += fmt.Sprintf("\n# Where the server takes TLS, if UDP does not get through; 0: nowhere.\nfallback_port = %d\n", f.fallbackPort)
	}
	if f.proxy != nil {
		text += fmt.Sprintf("\n# The HTTP proxy for that.\nhttp_proxy = %s\n", quoteConf(f.proxy.String()))
	}
	return text
}

// joinDomain returns the lines of the domain in which members have names, if there is one.
func joinDomain(r *enroll.Result) string {
	if r.Domain == "" {
		return ""
	}
	return fmt.Sprintf("\n# Programs of this host find members by their names in this domain.\ndns_domain = %s\n", r.Domain)
}

// quoteConf returns a path as a value of the configuration.
func quoteConf(path string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._-", c)
	}
	if !strings.ContainsFunc(path, func(c rune) bool { return !plain(c) }) {
		return path
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `$$`).Replace(path) + `"`
}

// serverNames returns the rendezvous servers of a configuration.
func serverNames(cfg *conf.Client) string {
	var names []string
	for _, s := range cfg.Servers() {
		names = append(names, s.String())
	}
	return strings.Join(names, " ")
}
