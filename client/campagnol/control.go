package main

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/control"
	"campagnol/internal/version"
	"campagnol/pki"
	"campagnol/punch/udp"
	"campagnol/tunnel/device"
)

// statusTime is how long the client may take to tell its state.
const statusTime = 3 * time.Second

// A view is what requests see of the parts in use. It does not change; the node
// replaces it, so that no request waits for a reload.
type view struct {
	cfg    *conf.Client
	client *client.Client
	conn   *udp.Conn
	device *device.Kernel
	trust  *trust
	where  *addresses

	mapping *mapping

	heard atomic.Pointer[hearsay] // nil: nobody has asked yet
}

// show makes the parts in use those that requests see. n.mu is locked.
func (n *node) show() {
	p := n.parts
	n.view.Store(&view{cfg: p.cfg, client: p.client, conn: p.conn, device: p.kernel, trust: p.trust, where: p.where, mapping: p.mapping})
	n.tellBulletin()
	n.auditTrust(time.Now(), p.trust)
}

// routes are what the control socket can be asked.
func (n *node) routes() map[string]control.Handler {
	return map[string]control.Handler{
		"GET " + control.StatusPath: n.status,
		"GET " + control.FDBPath:    n.fdb,
		"GET " + control.MDBPath:    n.mdb,

		"GET " + control.ExplainPath: n.explain,
		"POST " + control.ReachPath:  n.reachPeer,

		"POST " + control.RenewPath: n.renewOnRequest,

		"GET " + control.PeersPath:       n.listPeers,
		"POST " + control.PingPath:       n.pingPeer,
		"POST " + control.DisconnectPath: n.disconnectPeer,
		"POST " + control.ReloadPath:     n.reloadOnRequest,
		"GET " + control.LogLevelPath:    n.tellLevel,
		"POST " + control.LogLevelPath:   n.changeLevel,
		"GET " + control.EventsPath:      n.tellEvents,
		"GET " + control.BugReportPath:   n.bugReport,
	}
}

// A door is the node's control socket, and how it was configured.
type door struct {
	path, group string
	server      *control.Server
	stop        context.CancelFunc
	ended       chan struct{} // closed when the server has; nil before it serves
}

// doorPath returns where the control socket is to be; "" means nowhere.
func (p *parts) doorPath() string {
	switch p.cfg.ControlSocket {
	case conf.NoControlSocket:
		return ""
	case "":
		return control.DefaultPath(p.kernel.Name())
	}
	return p.cfg.ControlSocket
}

// openDoor makes the control socket of the configuration. It returns nil if there
// is to be none, and if one that nobody has asked for cannot be made.
func (n *node) openDoor(warn func(msg, hint string)) (*door, error) {
	d := &door{path: n.parts.doorPath(), group: n.parts.cfg.ControlGroup}
	if d.path == "" {
		return nil, nil
	}
	var err error
	d.server, err = control.Listen(control.Config{
		Path:    d.path,
		Group:   d.group,
		Program: program + "/" + version.Version,
		Routes:  n.routes(),
		Pages:   n.metrics.Routes(),
		Log:     n.log,

		Commanded: n.auditCommand,
	})
	if err == nil {
		return d, nil
	}
	if n.parts.cfg.ControlSocket != "" || d.group != "" {
		return nil, err
	}
	var used *control.InUseError
	if errors.As(err, &used) {
		warn("going on without control socket: "+used.Error(), used.Hint())
	} else {
		n.log.Info("Going on without control socket", "err", err)
	}
	return nil, nil
}

// serve answers requests until d is closed or ctx is done.
func (d *door) serve(ctx context.Context, n *node) {
	if d == nil {
		return
	}
	ctx, d.stop = context.WithCancel(ctx)
	d.ended = make(chan struct{})
	go func() { // close waits for it
		defer close(d.ended)
		if err := d.server.Serve(ctx); err != nil {
			n.log.Error("The control socket has failed; going on without it", "err", err)
		}
	}()
}

// close removes the socket and waits until all requests have ended.
func (d *door) close() {
	switch {
	case d == nil:
	case d.ended == nil:
		d.server.Close()
	default:
		d.stop()
		<-d.ended
	}
}

// moveDoor gives the node the control socket of a configuration that has changed,
// or of an interface that has another name. n.mu is locked.
func (n *node) moveDoor(ctx context.Context) {
	old, group := n.door, n.parts.cfg.ControlGroup
	var err error
	switch {
	case old == nil || old.path != n.parts.doorPath():
		var next *door
		if next, err = n.openDoor(n.warn); err == nil {
			old.close()
			n.door = next
			next.serve(ctx, n)
		}
	case old.group != group:
		if err = old.server.SetGroup(group); err == nil {
			old.group = group
		}
	}
	if err != nil {
		n.log.Error("The control socket cannot be as the new configuration has it; it stays as it was", "err", err)
	}
}

// status answers a request for the client's state.
func (n *node) status(r *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), statusTime)
	defer cancel()
	v := n.view.Load()
	s, err := v.client.Status(ctx)
	if err != nil {
		return nil, &control.Error{Status: http.StatusServiceUnavailable, Err: err,
			Text: "the client is just being started or stopped", Advice: "ask again in a moment"}
	}
	return v.document(time.Now(), n.started, s), nil
}

// document returns what the control socket tells of a client's state.
func (v *view) document(now, started time.Time, s client.Status) *control.Status {
	local, device := v.conn.Stats(), v.device.Stats()
	return &control.Status{
		Version:    version.String(),
		ProcessID:  os.Getpid(),
		Time:       now.UTC(),
		Started:    started.UTC(),
		ConfigFile: v.cfg.File,
		Interface:  v.device.Name(),
		VPNAddress: s.VPNAddr,
		Network:    v.cfg.Network,
		Mode:       v.cfg.Mode.String(),
		RDV:        rdvDocument(v.cfg, s.RDV()),
		MoreRDVs:   moreRDVs(v.cfg, &s),

		VPNAddress6: v.cfg.VPNIP6,
		Network6:    v.cfg.Network6,

		Certificates: certificateDocuments(v.trust.expiries()),
		Revocations:  revocationDocuments(v.trust.policy.Revocations(now)),
		OCSP:         ocspDocument(v.trust.online),
		Ethernet:     ethernetDocument(s.Ethernet),
		HardNAT:      control.HardNAT(s.HardNAT),
		NAT:          natDocument(s.NAT),
		Relaying:     relayingDocument(s.Relayed),
		Policy:       v.trust.policyDocument(v.cfg),
		Bulletin:     v.trust.bulletinDocument(),
		PortMapping:  v.mapping.document(),

		Socket: socketDocument(v.conn.LocalAddr(), v.conn.Features(), local),
		Device: deviceDocument(v.cfg.TunMTU, s.Offloads, device),
		Drops: control.Drops{
			Client: s.Drops,
			Socket: occurred(map[string]uint64{"truncated": local.Truncated, "unsent": local.Unsent, "buffer_full": local.KernelDropped}),
			Device: occurred(map[string]uint64{"refused": device.Refused, "down": device.Down, "malformed": device.Malformed}),
		},
		Peers:    peerDocuments(s.Peers),
		Failures: failureDocuments(s.Failures),
		Refusals: refusalDocuments(v.cfg, s.Refusals),
	}
}

func certificateDocuments(list []pki.Expiry) []control.Certificate {
	ds := make([]control.Certificate, len(list))
	for i, e := range list {
		ds[i] = control.Certificate{Name: e.Name, Serial: e.Serial, Authority: e.CA, Expires: e.At.UTC()}
	}
	return ds
}

func revocationDocuments(list []pki.Revocation) []control.Revocation {
	ds := make([]control.Revocation, len(list))
	for i, r := range list {
		ds[i] = control.Revocation{Authority: r.Issuer, Number: r.Number, Issued: r.ThisUpdate.UTC(), Certificates: r.Certificates,
			Source: control.FromFile, Where: r.Source}
		if !r.NextUpdate.IsZero() {
			ds[i].NextUpdate = r.NextUpdate.UTC()
		}
		if r.Received {
			ds[i].Source = control.FromRDV
		}
	}
	return ds
}

// rdvDocument describes how we are registered at an RDV.
func rdvDocument(cfg *conf.Client, r client.RDVStatus) control.RDV {
	d := control.RDV{
		Address: r.Addr, Registered: r.Registered && !r.Silent, Spare: !r.Used, Auth: r.Auth.String(),
		Since: r.Since.UTC(), Refusal: r.Refusal, RefusedAt: r.RefusedAt.UTC(),
	}
	for _, s := range serversOf(cfg) {
		if s.name == r.Name {
			d.Host = s.host
		}
	}
	switch {
	case !r.Registered:
	case r.Stream:
		d.Transport = control.TransportTLS
	default:
		d.Transport = control.TransportUDP
	}
	switch {
	case r.Authenticated:
		d.Registration = control.RegisteredAuthenticated
		d.Certificate, d.CertificateExpires = r.Server.Name, r.Server.Expires.UTC()
		d.Cipher, d.SeesUsAt = r.Cipher, r.Endpoint
	case r.Registered:
		d.Registration = control.RegisteredInClear
	}
	return d
}

// moreRDVs describes the other RDVs.
func moreRDVs(cfg *conf.Client, s *client.Status) (ds []control.RDV) {
	first := s.RDV()
	for _, r := range s.RDVs {
		if r.Name != first.Name {
			ds = append(ds, rdvDocument(cfg, r))
		}
	}
	return ds
}

// occurred returns m without what is zero.
func occurred(m map[string]uint64) map[string]uint64 {
	for reason, n := range m {
		if n == 0 {
			delete(m, reason)
		}
	}
	return m
}

func socketDocument(addr netip.AddrPort, f udp.Features, s udp.Stats) control.Socket {
	return control.Socket{
		LocalAddress:       addr,
		Features:           append(familyNames(f), strings.Fields(f.String())...),
		MissingFeatures:    strings.Fields(f.Missing()),
		ReceiveBufferBytes: f.RcvBuf,
		SendBufferBytes:    f.SndBuf,
		ReceivedDatagrams:  s.Received,
		ReceiveCalls:       s.Reads,
		JoinedMessages:     s.Joined,
		SentDatagrams:      s.Sent,
		SendCalls:          s.Writes,
		CutMessages:        s.Cut,
		ReroutedMessages:   s.Rerouted,
		PathErrors:         s.PathErrors,
	}
}

// familyNames returns the families of addresses that a socket serves.
func familyNames(f udp.Features) []string {
	names := []string{}
	if f.IPv4 {
		names = append(names, "ipv4")
	}
	if f.IPv6 {
		names = append(names, "ipv6")
	}
	return names
}

func deviceDocument(mtu int, o device.Offloads, s device.Stats) control.Device {
	d := control.Device{
		MTUBytes: mtu, Offloads: []string{}, MissingOffloads: []string{},
		ReadPackets: s.Read, ReadCalls: s.Reads, WrittenPackets: s.Written,
	}
	for _, x := range []struct {
		name string
		has  bool
	}{{"tcp", o.Large}, {"udp", o.UDP}} {
		if x.has {
			d.Offloads = append(d.Offloads, x.name)
		} else {
			d.MissingOffloads = append(d.MissingOffloads, x.name)
		}
	}
	return d
}

// originalProtocol stands for what the original speaks in a tunnel, which has no
// name of its own.
const originalProtocol = "original"

func peerDocuments(peers []client.PeerStatus) []control.Peer {
	ds := make([]control.Peer, len(peers))
	for i, p := range peers {
		d := &ds[i]
		*d = control.Peer{VPNAddress: p.VPNAddr, State: p.State, WaitingPackets: p.Waiting}
		if p.Since.IsZero() {
			continue // no session
		}
		d.Name, d.Addresses, d.Networks = p.Name, p.Addrs, p.Networks
		d.PathMTUBytes = p.PathMTU
		d.PathKind, d.PathFound, d.PathMoves, d.Relay = p.Path, p.Found, p.Moves, p.Relay
		d.PathRTTSeconds = p.RTT.Seconds()
		d.PathChallenges, d.PathResponses = p.Asked, p.Answered
		if !p.Ends.IsZero() {
			d.Expires = p.Ends.UTC()
		}
		d.Path, d.Cipher, d.Protocol, d.Role = p.Addr, p.Cipher, p.Protocol, "client"
		if d.Protocol == "" {
			d.Protocol = originalProtocol
		}
		if p.Server {
			d.Role = "server"
		}
		d.KeysSince, d.Rekeys, d.RekeyFailures = p.Keys.UTC(), p.Rekeys, p.RekeyFailures
		d.Since, d.LastIn, d.LastOut = p.Since.UTC(), p.LastIn.UTC(), p.LastOut.UTC()
		d.PacketsIn, d.BytesIn = p.PacketsIn, p.BytesIn
		d.PacketsOut, d.BytesOut = p.PacketsOut, p.BytesOut
		d.Drops = p.Drops
	}
	return ds
}

func failureDocuments(failures []client.Failure) []control.Failure {
	ds := make([]control.Failure, len(failures))
	for i, f := range failures {
		ds[i] = control.Failure{VPNAddress: f.VPNAddr, Time: f.Time.UTC(), Reason: f.Reason, Legacy: f.Legacy}
	}
	return ds
}
