package control

import (
	"context"
	"net/netip"
	"time"
)

// PeersPath is where a client tells its [Peers].
const PeersPath = "/v1/peers"

// Peers is the document that lists the peers in short. docs/control.md explains its
// fields.
type Peers struct {
	Version    string       `json:"version"`
	Time       time.Time    `json:"time"`
	Interface  string       `json:"interface"`
	VPNAddress netip.Addr   `json:"vpn_address"`
	Listed     bool         `json:"listed"`
	Peers      []PeersEntry `json:"peers"`
}

// A PeersEntry is one peer. All but address, name, state and reason are those of its
// session.
type PeersEntry struct {
	VPNAddress         netip.Addr     `json:"vpn_address"`
	Name               string         `json:"name,omitempty"`
	State              string         `json:"state"`
	Path               netip.AddrPort `json:"path,omitzero"`
	PathKind           string         `json:"path_kind,omitempty"`
	PathRTTSeconds     float64        `json:"path_rtt_seconds,omitempty"`
	Protocol           string         `json:"protocol,omitempty"`
	Since              time.Time      `json:"since,omitzero"`
	BytesIn            uint64         `json:"bytes_in"`
	BytesOut           uint64         `json:"bytes_out"`
	CertificateExpires time.Time      `json:"certificate_expires,omitzero"`
	Reason             string         `json:"reason,omitempty"`
}

// Peers asks a client for its peers; all are those without a tunnel, too. It returns the
// document as it was sent, too.
func (c *Client) Peers(ctx context.Context, all bool) (*Peers, []byte, error) {
	path := PeersPath
	if all {
		path += "?all=yes"
	}
	p := new(Peers)
	body, err := c.document(ctx, path, p, func() bool { return p.Version != "" && !p.Time.IsZero() })
	if err != nil {
		return nil, nil, err
	}
	return p, body, nil
}
