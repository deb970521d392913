package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// DHCPServerOptions say what a DHCP server hands out on an interface.
type DHCPServerOptions struct {
	Interface   string
	First, Last netip.Addr
	Bits        int // the length of the network's prefix
}

// args returns the arguments of dnsmasq, which reads no file of the machine and
// answers no questions about names.
func (o DHCPServerOptions) args(leases string) []string {
	return []string{
		"--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--port=0", "--user=root",
		"--interface=" + o.Interface, "--bind-interfaces", "--no-ping", "--dhcp-authoritative",
		"--dhcp-leasefile=" + leases,
		fmt.Sprintf("--dhcp-range=%v,%v,%v,10m", o.First, o.Last, net.IP(net.CIDRMask(o.Bits, 32))),
	}
}

// dnsmasqReady is what dnsmasq says, behind its own name, when it serves DHCP.
const dnsmasqReady = "dnsmasq-dhcp: DHCP, IP range"

// StartDHCPServer starts a DHCP server and returns when it serves. path is that
// of dnsmasq (Debian package dnsmasq-base).
func (n *Node) StartDHCPServer(ctx context.Context, path string, o DHCPServerOptions) (*Process, error) {
	p, err := n.Start("dnsmasq", path, o.args(filepath.Join(n.lab.Dir(), n.name+".leases"))...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := p.untilExit(ctx)
	defer cancel()
	_, err = p.Await(ctx, time.Time{}, Pattern{Message: dnsmasqReady})
	return p, err
}

// leaseScript is what the DHCP client runs at each event: it prints the event
// and what the server gave.
const leaseScript = `#!/bin/sh
echo "lease $1 $ip $subnet"
`

// RunDHCPClient asks for an address on an interface, gives the address to it
// and returns it. path is that of udhcpc (Debian package udhcpc).
func (n *Node) RunDHCPClient(ctx context.Context, path, ifname string) (netip.Prefix, error) {
	script := filepath.Join(n.lab.Dir(), n.name+"-lease")
	if err := os.WriteFile(script, []byte(leaseScript), 0o700); err != nil {
		return netip.Prefix{}, n.wrap("run a DHCP client", err)
	}
	p, err := n.Start("udhcpc", path, "-f", "-q", "-n", "-i", ifname, "-s", script, "-t", "10", "-T", "1")
	if err != nil {
		return netip.Prefix{}, err
	}
	err = p.Wait(ctx)
	lines, logErr := p.Log()
	if err = errors.Join(err, logErr); err != nil {
		return netip.Prefix{}, fmt.Errorf("lab: %v got no address: %w\n%s", p, err, p.Tail())
	}
	lease, err := parseLease(lines)
	if err != nil {
		return lease, fmt.Errorf("lab: %v got no address: %w\n%s", p, err, p.Tail())
	}
	return lease, n.Interface(ifname).AddAddress(lease)
}

// parseLease returns what a DHCP client was given.
func parseLease(lines []LogLine) (netip.Prefix, error) {
	for _, l := range lines {
		fields := strings.Fields(l.Message)
		if len(fields) != 4 || fields[0] != "lease" || fields[1] != "bound" {
			continue
		}
		addr, err := netip.ParseAddr(fields[2])
		if err != nil {
			return netip.Prefix{}, err
		}
		mask, err := netip.ParseAddr(fields[3])
		if err != nil {
			return netip.Prefix{}, err
		}
		bits, size := net.IPMask(mask.AsSlice()).Size()
		if p := netip.PrefixFrom(addr, bits); size == 32 && p.IsValid() {
			return p, nil
		}
		return netip.Prefix{}, fmt.Errorf("%v is no mask for %v", mask, addr)
	}
	return netip.Prefix{}, errors.New("the client says nothing about a lease")
}
