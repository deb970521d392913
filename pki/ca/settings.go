package ca

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"campagnol/pki/enroll"
	"campagnol/pki/safefile"
)

// Settings are what all hosts of the VPN have in common: what a new one is told.
// They are in settings.json of the CA's directory.
type Settings struct {
	Server   string       `json:"server,omitzero"`   // HOST:PORT of the rendezvous server
	Network  netip.Prefix `json:"network,omitzero"`  // of the VPN
	Network6 netip.Prefix `json:"network6,omitzero"` // its IPv6 network; the zero Prefix: none
	Domain   string       `json:"domain,omitzero"`   // in which members have names; "": none
	Days     int          `json:"days,omitzero"`     // validity of certificates by invitation; 0 means two years
}

const (
	settingsName = "settings.json"
	defaultPort  = 57888 // of a rendezvous server, as in Campagnol 0.3.5
)

// ParseServer returns HOST or HOST:PORT as HOST:PORT.
func ParseServer(text string) (string, error) {
	server := text
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil || !strings.Contains(text, ":") {
		host := text
		if err == nil {
			host = a.String()
		}
		server = net.JoinHostPort(host, strconv.Itoa(defaultPort))
	}
	if err := enroll.CheckServer(server); err != nil {
		return "", withHint(fmt.Errorf("ca: rendezvous server: %w", err), "write HOST or HOST:PORT, such as rdv.example.org or 192.0.2.7:57888")
	}
	return server, nil
}

func (s *Settings) check() error {
	if s.Server != "" {
		if err := enroll.CheckServer(s.Server); err != nil {
			return fmt.Errorf("ca: rendezvous server: %w", err)
		}
	}
	if s.Network.IsValid() {
		if err := checkNetwork(s.Network); err != nil {
			return err
		}
	}
	if s.Network6.IsValid() {
		if err := checkNetwork6(s.Network6); err != nil {
			return err
		}
	}
	if s.Domain != "" {
		if err := enroll.CheckDomain(s.Domain); err != nil {
			return withHint(fmt.Errorf("ca: domain of names: %w", err), "write a part of a domain that is yours, or of internal, such as vpn.internal")
		}
	}
	if s.Days != 0 {
		return checkDays(s.Days)
	}
	return nil
}

// checkNetwork checks the network of a VPN, which is an IPv4 one with at least two
// hosts.
func checkNetwork(n netip.Prefix) error {
	switch {
	case !n.Addr().Is4():
		return fmt.Errorf("ca: %v cannot be the network of a VPN, which is an IPv4 one", n)
	case n != n.Masked():
		return fmt.Errorf("ca: %v is an address within a network; the network is %v", n, n.Masked())
	case n.Bits() < 8 || n.Bits() > 30:
		return fmt.Errorf("ca: the network %v cannot be that of a VPN: its length is between 8 and 30", n)
	case n.Addr().IsLoopback(), n.Addr().IsMulticast():
		return fmt.Errorf("ca: the network %v cannot be that of a VPN", n)
	}
	return nil
}

// checkNetwork6 checks the IPv6 network of a VPN: a part of those in which hosts have
// addresses, unique local (RFC 4193) or global.
func checkNetwork6(n netip.Prefix) error {
	switch {
	case !n.Addr().Is6() || n.Addr().Is4In6():
		return fmt.Errorf("ca: %v is not an IPv6 network", n)
	case n != n.Masked():
		return fmt.Errorf("ca: %v is an address within a network; the network is %v", n, n.Masked())
	case n.Bits() < 16 || n.Bits() > 126:
		return fmt.Errorf("ca: the network %v cannot be that of a VPN: its length is between 16 and 126", n)
	case !uniqueLocal.Contains(n.Addr()) && !globalUnicast.Contains(n.Addr()):
		return withHint(fmt.Errorf("ca: the network %v is not one in which hosts have addresses", n), "take one of fd00::/8, such as fd09::/64, or a global one that is yours")
	}
	return nil
}

var (
	uniqueLocal   = netip.MustParsePrefix("fc00::/7")
	globalUnicast = netip.MustParsePrefix("2000::/3")
)

func (c *CA) settingsFile() string { return filepath.Join(c.Dir, settingsName) }

// Settings returns the settings; those of a CA that has none are empty.
func (c *CA) Settings() (Settings, error) {
	var s Settings
	data, err := safefile.Read(c.settingsFile(), maxSmallFile)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("ca: settings: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err == nil {
		err = s.check()
		if err == nil {
			return s, nil
		}
		return Settings{}, fmt.Errorf("%s: %w", c.settingsFile(), err)
	}
	return Settings{}, withHint(fmt.Errorf("ca: %s: not in the form of settings: %w", c.settingsFile(), err),
		"remove the file and make it anew: campagnol ca settings --rdv HOST --network NETWORK")
}

// ChangeSettings lets change change the settings, and returns them.
func (c *CA) ChangeSettings(change func(*Settings)) (Settings, error) {
	unlock, err := c.lock()
	if err != nil {
		return Settings{}, err
	}
	defer unlock()
	s, err := c.Settings()
	if err != nil {
		return s, err
	}
	change(&s)
	if err := s.check(); err != nil {
		return s, err
	}
	return s, c.writeSettings(s)
}

func (c *CA) writeSettings(s Settings) error {
	return c.writeJSON(c.settingsFile(), s, 0o644)
}

// writeJSON replaces a file.
func (c *CA) writeJSON(path string, v any, mode fs.FileMode) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = safefile.Write(path, append(data, '\n'), mode)
	}
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	return nil
}
