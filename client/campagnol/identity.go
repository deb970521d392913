package main

import (
	"crypto/x509"
	"net"
	"net/netip"
	"slices"
	"time"

	"campagnol/client"
	"campagnol/pki"
)

// identify returns what the certificate of a peer, which verify has accepted for one
// VPN address, says beyond that.
//
// Other addresses that it names are its own as the first one is: not if a newer
// certificate with another key has been seen for them.
func (t *trust) identify(now time.Time, vpn netip.Addr, chain [][]byte) client.Identity {
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil { // verify has parsed the same
		return client.Identity{}
	}
	peer := pki.PeerOf(leaf)
	id := client.Identity{Name: peer.Name, Key: peer.Key, Serial: pki.SerialOf(leaf), Ends: leaf.NotAfter}
	if len(peer.Addrs) > 0 { // else it says nothing about addresses, however new it is
		id.Issued = leaf.NotBefore
	}
	for _, a := range peer.Addrs {
		if a == vpn || !t.network.Contains(a) && !t.network6.Contains(a) || len(id.Addrs) >= client.MaxPeerAddrs {
			continue
		}
		if err := t.pins.Check(now, a, peer, t.requireSAN); err != nil {
			t.log.Warn("Another address of the peer is not used", "peer", vpn, "addr", a, "err", err)
			continue
		}
		id.Addrs = append(id.Addrs, a)
	}
	attributes, err := pki.AttributesOf(leaf)
	if err != nil {
		t.log.Warn("Networks behind the peer are not used, since its certificate cannot be understood", "peer", vpn, "err", err)
		return id
	}
	id.Routes = attributes.Routes
	return id
}

// hostAddrs returns the addresses of this host, except those in the VPN. If the system
// does not tell them there are none: they only keep a mistaken certificate from being
// followed.
func hostAddrs(vpn ...netip.Addr) (list []netip.Addr) {
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, n := range nets {
		ip, ok := n.(*net.IPNet)
		if !ok {
			continue
		}
		if a, ok := netip.AddrFromSlice(ip.IP); ok && !slices.Contains(vpn, a.Unmap()) {
			list = append(list, a.Unmap())
		}
	}
	return list
}
