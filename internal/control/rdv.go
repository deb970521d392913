package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// Where a rendezvous server tells its documents.
const (
	RDVStatusPath  = "/v1/rdv"
	RDVClientsPath = "/v1/rdv/clients"
	RDVEventsPath  = "/v1/rdv/events"
)

// An RDVStatus is the document that tells how a rendezvous server is. As with a
// [Status], fields may be added.
type RDVStatus struct {
	Version        string            `json:"version"`
	ProcessID      int               `json:"process_id"`
	Time           time.Time         `json:"time"`
	Started        time.Time         `json:"started"`
	Mode           string            `json:"mode"`
	MaxClients     int               `json:"max_clients"`
	Clients        int               `json:"clients"`
	Channels       int               `json:"channels"`
	Pairs          int               `json:"pairs"`
	Handshakes     int               `json:"handshakes"`
	Relaying       bool              `json:"relaying"`
	Allocations    int               `json:"relay_allocations"`
	RelayBytes     uint64            `json:"relay_bytes"`
	LastEvent      uint64            `json:"last_event"`
	Counters       map[string]uint64 `json:"counters"`
	Dropped        map[string]uint64 `json:"dropped"`
	NATs           map[string]int    `json:"nats"`
	NextExpiry     time.Time         `json:"next_expiry,omitzero"`
	NextExpiryName string            `json:"next_expiry_name,omitempty"`
}

// RDVClients is the document that tells who is registered.
type RDVClients struct {
	Version string      `json:"version"`
	Time    time.Time   `json:"time"`
	Clients []RDVClient `json:"clients"`
}

// An RDVClient is one who is registered.
type RDVClient struct {
	VPNAddresses     []netip.Addr   `json:"vpn_addresses"`
	Name             string         `json:"name,omitempty"`
	Endpoint         netip.AddrPort `json:"endpoint"`
	Transport        string         `json:"transport"`
	Registration     string         `json:"registration"`
	Since            time.Time      `json:"since"`
	Heard            time.Time      `json:"heard"`
	NAT              string         `json:"nat,omitempty"`
	Candidates       int            `json:"candidates"`
	Software         string         `json:"software,omitempty"`
	Expires          time.Time      `json:"certificate_expires,omitzero"`
	Relays           bool           `json:"relays_for_others"`
	RelayAllocations int            `json:"relay_allocations"`
	RelayBytes       uint64         `json:"relay_bytes"`
	Asked            uint64         `json:"asked"`
	Wanted           uint64         `json:"wanted"`
}

// RDVEvents is the document that tells what has happened.
type RDVEvents struct {
	Version string     `json:"version"`
	Time    time.Time  `json:"time"`
	Last    uint64     `json:"last"`
	Events  []RDVEvent `json:"events"`
}

// An RDVEvent is something that has happened.
type RDVEvent struct {
	Number   uint64         `json:"number"`
	Time     time.Time      `json:"time"`
	Kind     string         `json:"kind"`
	Endpoint netip.AddrPort `json:"endpoint,omitzero"`
	VPN      netip.Addr     `json:"vpn_address,omitzero"`
	Peer     netip.Addr     `json:"peer,omitzero"`
	Name     string         `json:"name,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Text     string         `json:"text"`
}

// RDVStatus asks a rendezvous server for its state. It returns the document as it was
// sent, too.
func (c *Client) RDVStatus(ctx context.Context) (*RDVStatus, []byte, error) {
	s := new(RDVStatus)
	body, err := c.read(ctx, RDVStatusPath, askTime, s, func() bool { return s.Version != "" && !s.Time.IsZero() })
	return s, body, err
}

// RDVClients asks a rendezvous server who is registered.
func (c *Client) RDVClients(ctx context.Context) (*RDVClients, []byte, error) {
	s := new(RDVClients)
	body, err := c.read(ctx, RDVClientsPath, askTime, s, func() bool { return s.Version != "" && !s.Time.IsZero() })
	return s, body, err
}

// RDVEvents asks a rendezvous server what has happened after an event. With wait, the
// server waits a while for something to happen.
func (c *Client) RDVEvents(ctx context.Context, after uint64, wait bool) (*RDVEvents, []byte, error) {
	s := new(RDVEvents)
	query := url.Values{"after": {strconv.FormatUint(after, 10)}, "wait": {strconv.FormatBool(wait)}}
	body, err := c.read(ctx, RDVEventsPath+"?"+query.Encode(), MaxEventWait+askTime, s, func() bool { return s.Version != "" && !s.Time.IsZero() })
	return s, body, err
}

// read asks for the document at a path, which is good if complete says so.
func (c *Client) read(ctx context.Context, path string, limit time.Duration, document any, complete func() bool) ([]byte, error) {
	body, program, err := c.ask(ctx, http.MethodGet, path, limit)
	if err != nil {
		return nil, err
	}
	if err = json.Unmarshal(body, document); err == nil && !complete() {
		err = errors.New("version or time is missing")
	}
	if err != nil {
		return nil, c.strange(program, err)
	}
	return body, nil
}
