package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// ExplainPath is where a client tells its [Explanation] of how the peer is reached that
// the parameter "peer" names.
const ExplainPath = "/v1/explain"

// ReachPath is where a client is asked to open a tunnel to the peer that the parameter
// "peer" names. The answer is an [Explanation], too: of how it stands at the beginning.
const ReachPath = "/v1/reach"

// An Explanation is the document that tells why a peer is reached as it is, or not at
// all. docs/control.md explains its fields.
type Explanation struct {
	Version     string                 `json:"version"`
	Time        time.Time              `json:"time"`
	Interface   string                 `json:"interface"`
	Asked       string                 `json:"asked"`
	VPNAddress  netip.Addr             `json:"vpn_address"`
	Name        string                 `json:"name,omitempty"`
	Reached     bool                   `json:"reached"`
	State       string                 `json:"state"`
	Packet      string                 `json:"packet"`
	Summary     string                 `json:"summary"`
	Advice      []string               `json:"advice"`
	Path        ExplainedPath          `json:"path,omitzero"` // zero: there is no session
	Candidates  []ExplainedCandidate   `json:"candidates"`
	Try         ExplainedTry           `json:"try,omitzero"` // zero: none is remembered
	OwnNAT      NAT                    `json:"own_nat,omitzero"`
	PeerNAT     NAT                    `json:"peer_nat,omitzero"`
	Prospect    string                 `json:"prospect"`
	Families    []ExplainedFamily      `json:"families"`
	Certificate ExplainedCertificate   `json:"certificate,omitzero"` // zero: there is no session
	Policy      ExplainedPolicy        `json:"policy,omitzero"`      // zero: there is none
	Failure     ExplainedFailure       `json:"failure,omitzero"`     // zero: the last try was not in vain
	Relays      ExplainedRelays        `json:"relays"`
	Refusals    []ExplainedRefusal     `json:"refusals"`
	RDVs        []ExplainedRDV         `json:"rdvs"`
	PortMapping []ExplainedPortMapping `json:"port_mapping"`
}

// An ExplainedPath is the path of a session.
type ExplainedPath struct {
	Address    netip.AddrPort `json:"address"`
	Kind       string         `json:"kind,omitempty"`
	Found      string         `json:"found,omitempty"`
	Relay      string         `json:"relay,omitempty"`
	RTTSeconds float64        `json:"rtt_seconds,omitempty"`
	MTUBytes   int            `json:"mtu_bytes,omitempty"`
	Moves      int            `json:"moves"`
	Since      time.Time      `json:"since"`
	LastIn     time.Time      `json:"last_in,omitzero"`
	Dark       bool           `json:"dark"`
	Local      netip.AddrPort `json:"local"`
	Extra      bool           `json:"extra"`
	Protocol   string         `json:"protocol"`
}

// An ExplainedCandidate is an address at which the peer may be.
type ExplainedCandidate struct {
	Address      netip.AddrPort `json:"address"`
	Found        string         `json:"found"`
	Scope        string         `json:"scope,omitempty"`
	Relay        string         `json:"relay,omitempty"`
	Path         bool           `json:"path"`
	RTTSeconds   float64        `json:"rtt_seconds,omitempty"`
	LastAnswered time.Time      `json:"last_answered,omitzero"`
	Outcome      string         `json:"outcome"`
}

// An ExplainedTry is the last try at opening a tunnel.
type ExplainedTry struct {
	Began    time.Time `json:"began"`
	Asked    bool      `json:"asked"`
	Running  bool      `json:"running"`
	Guessing bool      `json:"guessing"`
}

// A NAT is what is between a host and the Internet.
type NAT struct {
	Description    string `json:"description"`
	Blocked        bool   `json:"blocked"`
	Translated     bool   `json:"translated"`
	Mapping        string `json:"mapping"`
	MappingExact   bool   `json:"mapping_exact"`
	Filtering      string `json:"filtering"`
	FilteringExact bool   `json:"filtering_exact"`
	Ports          string `json:"ports"`
	Hard           bool   `json:"hard"`
}

// An ExplainedFamily says whether the two can meet over IPv4, or IPv6.
type ExplainedFamily struct {
	Family string `json:"family"`
	Ours   bool   `json:"ours"`
	Theirs bool   `json:"theirs"`
}

// An ExplainedCertificate is the one by which a peer has its session.
type ExplainedCertificate struct {
	Name    string    `json:"name"`
	Serial  string    `json:"serial"`
	Issuer  string    `json:"issuer"`
	Expires time.Time `json:"expires"`
	Good    bool      `json:"good"`
	Code    string    `json:"code,omitempty"`
	Reason  string    `json:"reason,omitempty"`
}

// An ExplainedPolicy is what the policy says about the two hosts.
type ExplainedPolicy struct {
	Name    string `json:"name"`
	Allowed bool   `json:"allowed"`
	Certain bool   `json:"certain"`
	Line    int    `json:"line,omitempty"`
	Text    string `json:"text"`
}

// An ExplainedFailure says why the last try was in vain.
type ExplainedFailure struct {
	Time   time.Time `json:"time"`
	Reason string    `json:"reason"`
}

// ExplainedRelays are the relays, other than peers, between the peer and us.
type ExplainedRelays struct {
	Never bool             `json:"never"`
	Ready []string         `json:"ready"`
	Told  []netip.AddrPort `json:"told"`
	Why   string           `json:"why,omitempty"`
}

// An ExplainedRefusal says that the peer was refused, or has refused us.
type ExplainedRefusal struct {
	Code   string    `json:"code"`
	Count  int       `json:"count"`
	Last   time.Time `json:"last"`
	Reason string    `json:"reason"`
	Fix    string    `json:"fix"`
}

// An ExplainedRDV is a rendezvous server, and what it has said about the peer.
type ExplainedRDV struct {
	Host       string         `json:"host"`
	Address    netip.AddrPort `json:"address"`
	Registered bool           `json:"registered"`
	Spare      bool           `json:"spare"`
	Transport  string         `json:"transport,omitempty"`
	Refusal    string         `json:"refusal,omitempty"`
	Said       string         `json:"said,omitempty"`
	SaidAt     time.Time      `json:"said_at,omitzero"`
}

// An ExplainedPortMapping says whether the gateway forwards our port, over a family.
type ExplainedPortMapping struct {
	Family   string         `json:"family"`
	External netip.AddrPort `json:"external,omitzero"`
	Method   string         `json:"method,omitempty"`
	Reason   string         `json:"reason,omitempty"`
}

// Explain asks why a peer, by its VPN address or the name in its certificate, is
// reached as it is. It returns the document as it was sent, too.
func (c *Client) Explain(ctx context.Context, peer string) (*Explanation, []byte, error) {
	return c.explanation(ctx, http.MethodGet, ExplainPath, peer)
}

// Reach makes the client begin to open a tunnel to a peer.
func (c *Client) Reach(ctx context.Context, peer string) (*Explanation, []byte, error) {
	return c.explanation(ctx, http.MethodPost, ReachPath, peer)
}

func (c *Client) explanation(ctx context.Context, method, path, peer string) (*Explanation, []byte, error) {
	body, program, err := c.ask(ctx, method, path+"?"+url.Values{"peer": {peer}}.Encode(), askTime)
	if err != nil {
		return nil, nil, err
	}
	e := new(Explanation)
	if err = json.Unmarshal(body, e); err == nil && (e.Version == "" || e.Time.IsZero() || e.Summary == "") {
		err = errors.New("version, time or summary is missing")
	}
	if err != nil {
		return nil, nil, c.strange(program, err)
	}
	return e, body, nil
}
