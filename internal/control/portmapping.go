package control

import (
	"net/netip"
	"time"
)

// A PortMapping is what has come of asking the gateway to forward the UDP port.
type PortMapping struct {
	Enabled  bool         `json:"enabled"`
	Mappings []MappedPort `json:"mappings"`
}

// A MappedPort is the mapping of one family of addresses. From Method to Expires it is
// there only if there is a mapping, and Reason only if there is none.
type MappedPort struct {
	Family   string         `json:"family"`
	Gateway  netip.Addr     `json:"gateway,omitzero"`
	Method   string         `json:"method,omitempty"`
	External netip.AddrPort `json:"external,omitzero"`
	Private  bool           `json:"private,omitempty"`
	Since    time.Time      `json:"since,omitzero"`
	Expires  time.Time      `json:"expires,omitzero"`
	Reason   string         `json:"reason,omitempty"`
}
