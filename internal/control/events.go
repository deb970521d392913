package control

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// EventsPath is where a client tells its [Events].
const EventsPath = "/v1/events"

// MaxEventWait is how long a client may be told to wait for an event, and how long a
// rendezvous server waits. It is less than an answer may take.
const MaxEventWait = 20 * time.Second

// Events is the document that tells what has happened lately. docs/control.md explains
// its fields.
type Events struct {
	Version string    `json:"version"`
	Time    time.Time `json:"time"`
	Started time.Time `json:"started"`
	Next    uint64    `json:"next"`
	Missed  bool      `json:"missed"`
	Events  []Event   `json:"events"`
}

// An Event is something that has happened.
type Event struct {
	Number     uint64         `json:"number"`
	Time       time.Time      `json:"time"`
	Kind       string         `json:"kind"`
	VPNAddress netip.Addr     `json:"vpn_address,omitzero"`
	Name       string         `json:"name,omitempty"`
	Address    netip.AddrPort `json:"address,omitzero"`
	Before     netip.AddrPort `json:"before,omitzero"`
	Code       string         `json:"code,omitempty"`
	Reason     string         `json:"reason,omitempty"`
}

// Events asks for what has happened since the event with a number; 0 is all that is
// remembered. If that is nothing, the client waits for something, for so long.
func (c *Client) Events(ctx context.Context, since uint64, wait time.Duration) (*Events, []byte, error) {
	wait = min(wait, MaxEventWait)
	e := new(Events)
	path := fmt.Sprintf("%s?since=%d&wait=%v", EventsPath, since, wait.Seconds())
	body, err := c.documentWithin(ctx, path, askTime+wait, e, func() bool { return e.Version != "" && !e.Time.IsZero() })
	if err != nil {
		return nil, nil, err
	}
	return e, body, nil
}
