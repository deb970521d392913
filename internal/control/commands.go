package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Where a client is told to do something, by POST. The log level can be asked for by
// GET, too.
const (
	PingPath       = "/v1/ping"
	DisconnectPath = "/v1/disconnect"
	ReloadPath     = "/v1/reload"
	LogLevelPath   = "/v1/log-level"
)

// OpenTime is how long a client may take to open the tunnel for a ping, and MaxWait how
// long it can be told to wait for the answer.
const (
	OpenTime = 12 * time.Second
	MaxWait  = 10 * time.Second
)

// MaxLogTime is how long another log level can be asked for, unless it is for good.
const MaxLogTime = 7 * 24 * time.Hour

// A Pong is the document that tells what has come of one ping. docs/control.md explains
// its fields, and those of the documents below.
type Pong struct {
	Version        string         `json:"version"`
	Time           time.Time      `json:"time"`
	VPNAddress     netip.Addr     `json:"vpn_address"`
	Name           string         `json:"name,omitempty"`
	Answered       bool           `json:"answered"`
	RTTSeconds     float64        `json:"rtt_seconds,omitempty"`
	PathRTTSeconds float64        `json:"path_rtt_seconds,omitempty"`
	Path           netip.AddrPort `json:"path,omitzero"`
	PathKind       string         `json:"path_kind,omitempty"`
	OpenedSeconds  float64        `json:"opened_seconds,omitempty"`
	Reason         string         `json:"reason,omitempty"`
}

// A Disconnection is the document that tells which tunnel was closed.
type Disconnection struct {
	Version    string     `json:"version"`
	Time       time.Time  `json:"time"`
	VPNAddress netip.Addr `json:"vpn_address"`
	Name       string     `json:"name,omitempty"`
	State      string     `json:"state"`
	Since      time.Time  `json:"since,omitzero"`
}

// A Reload is the document that tells what has come of reading the configuration again.
type Reload struct {
	Version    string    `json:"version"`
	Time       time.Time `json:"time"`
	ConfigFile string    `json:"config_file"`
	Restarts   bool      `json:"restarts"`
	Warnings   []string  `json:"warnings"`
}

// A LogLevel is the document that tells what is logged.
type LogLevel struct {
	Version string    `json:"version"`
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Normal  string    `json:"normal"`
	Until   time.Time `json:"until,omitzero"`
}

// Ping makes a client ask a peer, by its VPN address or the name in its certificate,
// whether it is there, and wait for the answer.
func (c *Client) Ping(ctx context.Context, peer string, wait time.Duration) (*Pong, []byte, error) {
	p := new(Pong)
	q := url.Values{"peer": {peer}, "wait": {fmt.Sprint(wait.Seconds())}}
	raw, err := c.command(ctx, PingPath, q, OpenTime+MaxWait+askTime, p, func() bool { return p.Version != "" && p.VPNAddress.IsValid() })
	if err != nil {
		return nil, nil, err
	}
	return p, raw, nil
}

// Disconnect makes a client close the tunnel to a peer.
func (c *Client) Disconnect(ctx context.Context, peer string) (*Disconnection, []byte, error) {
	d := new(Disconnection)
	raw, err := c.command(ctx, DisconnectPath, url.Values{"peer": {peer}}, askTime, d, func() bool { return d.Version != "" && d.State != "" })
	if err != nil {
		return nil, nil, err
	}
	return d, raw, nil
}

// Reload makes a client read its configuration again.
func (c *Client) Reload(ctx context.Context) (*Reload, []byte, error) {
	r := new(Reload)
	raw, err := c.command(ctx, ReloadPath, nil, renewTime, r, func() bool { return r.Version != "" && r.ConfigFile != "" })
	if err != nil {
		return nil, nil, err
	}
	return r, raw, nil
}

// LogLevel asks a client what it logs.
func (c *Client) LogLevel(ctx context.Context) (*LogLevel, []byte, error) {
	l := new(LogLevel)
	raw, err := c.document(ctx, LogLevelPath, l, func() bool { return l.Version != "" && l.Level != "" })
	if err != nil {
		return nil, nil, err
	}
	return l, raw, nil
}

// SetLogLevel makes a client log more or less, for a while; 0 is for good.
func (c *Client) SetLogLevel(ctx context.Context, level string, during time.Duration) (*LogLevel, []byte, error) {
	l := new(LogLevel)
	q := url.Values{"level": {level}}
	if during != 0 {
		q.Set("seconds", fmt.Sprint(during.Seconds()))
	}
	raw, err := c.command(ctx, LogLevelPath, q, askTime, l, func() bool { return l.Version != "" && l.Level != "" })
	if err != nil {
		return nil, nil, err
	}
	return l, raw, nil
}

// command makes the client do something, and reads its answer. whole reports whether that
// has what it must have.
func (c *Client) command(ctx context.Context, path string, q url.Values, limit time.Duration, doc any, whole func() bool) ([]byte, error) {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	body, program, err := c.ask(ctx, http.MethodPost, path, limit)
	if err != nil {
		return nil, err
	}
	if err = json.Unmarshal(body, doc); err == nil && !whole() {
		err = errors.New("something is missing in it")
	}
	if err != nil {
		return nil, c.strange(program, err)
	}
	return body, nil
}
