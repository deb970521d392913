package device

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// sysctls is where the kernel's parameters of the network are; they are those of the
// namespace of whoever reads them.
const sysctls = "/proc/sys/net/"

// SetForwarding makes the kernel pass on what comes from the interface, to networks
// behind this host; with ip6 that of IPv6, too. It touches nothing but the interface:
// what else has to be set for packets to pass is in the list that is returned. Close
// takes it back.
func (k *Kernel) SetForwarding(ip6 bool) ([]error, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed.Load() {
		return nil, fmt.Errorf("device: forwarding of %s: %w", k.name, os.ErrClosed)
	}
	if err := k.setSysctl("ipv4/conf/"+k.name+"/forwarding", "1"); err != nil {
		return nil, fmt.Errorf("device: forwarding of %s: %w", k.name, err)
	}
	var odd []error
	if sysctl("ipv4/conf/all/forwarding") == "0" {
		odd = append(odd, fmt.Errorf("IPv4 packets of hosts behind this one are not forwarded: their interface needs net.ipv4.conf.INTERFACE.forwarding=1, or all net.ipv4.ip_forward=1"))
	}
	for _, name := range []string{"all", k.name} {
		if sysctl("ipv4/conf/"+name+"/rp_filter") == "1" {
			odd = append(odd, fmt.Errorf("net.ipv4.conf.%s.rp_filter is 1: packets of peers are dropped that come from networks to which this host has no route over %s; set it to 2, or accept_routes = yes", name, k.name))
			break
		}
	}
	if !ip6 {
		return odd, nil
	}
	if err := k.setSysctl("ipv6/conf/"+k.name+"/forwarding", "1"); err != nil {
		return odd, fmt.Errorf("device: forwarding of IPv6 of %s: %w", k.name, err)
	}
	// The switch for one interface is new; without it the one for all counts.
	err := k.setSysctl("ipv6/conf/"+k.name+"/force_forwarding", "1")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return odd, fmt.Errorf("device: forwarding of IPv6 of %s: %w", k.name, err)
	}
	if sysctl("ipv6/conf/all/forwarding") == "0" {
		odd = append(odd, fmt.Errorf("IPv6 packets are not forwarded: that needs net.ipv6.conf.all.forwarding=1"))
	}
	return odd, nil
}

// sysctl returns a parameter of the network; "" if it cannot be read.
func sysctl(key string) string {
	b, err := os.ReadFile(sysctls + key)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// setSysctl sets a parameter, and remembers what it was.
func (k *Kernel) setSysctl(key, value string) error {
	old := sysctl(key)
	if old == value {
		return nil
	}
	if err := os.WriteFile(sysctls+key, []byte(value), 0o644); err != nil {
		return err
	}
	if k.mine.sysctl == nil {
		k.mine.sysctl = map[string]string{}
	}
	k.mine.sysctl[key] = old
	return nil
}

// ClearForwarding takes back what SetForwarding did.
func (k *Kernel) ClearForwarding() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.unsetForwarding(); err != nil {
		return fmt.Errorf("device: forwarding of %s: %w", k.name, err)
	}
	return nil
}

// unsetForwarding puts parameters back that SetForwarding has changed.
func (k *Kernel) unsetForwarding() (errs error) {
	for key, old := range k.mine.sysctl {
		errs = errors.Join(errs, os.WriteFile(sysctls+key, []byte(old), 0o644))
	}
	k.mine.sysctl = nil
	return errs
}
