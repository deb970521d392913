package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"campagnol/client"
	"campagnol/conf"
	"campagnol/internal/control"
	"campagnol/internal/metrics"

	"github.com/prometheus/client_golang/prometheus"
)

// A metricsCollector reads the metrics of a node.
type metricsCollector struct{ node *node }

// Describe is the method of [prometheus.Collector].
func (metricsCollector) Describe(ch chan<- *prometheus.Desc) { clientMetrics.Describe(ch) }

// Collect is the method of [prometheus.Collector]. The client is asked once.
func (m metricsCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), statusTime)
	defer cancel()
	s := metrics.NewScrape(ch)
	v := m.node.view.Load()
	status, err := v.client.Status(ctx)
	s.Is(mRunning, err == nil)
	if err != nil {
		return
	}
	reportState(s, v.cfg, &status, v.document(time.Now(), m.node.started, status))
	reportAudit(s, m.node.trail.Written(), m.node.trail.Lost())
}

// reportAudit reports what became of the audit trail.
func reportAudit(s metrics.Scrape, written, lost uint64) {
	s.Count(mAuditRecords, written)
	s.Count(mAuditLost, lost)
}

// ready returns why the client is not registered at any rendezvous server; nil: it is.
func (n *node) ready(ctx context.Context) error {
	servers, err := n.view.Load().client.Servers(ctx)
	if err != nil {
		return cmp.Or(ctx.Err(), errors.New("the client is just being started or stopped"))
	}
	return notRegistered(servers)
}

// notRegistered says why a client is registered at none of its servers; nil: it is.
func notRegistered(servers []client.RDVStatus) error {
	var why []string
	for _, r := range servers {
		switch {
		case r.Registered && !r.Silent:
			return nil
		case !r.Used:
			continue
		case r.Registered:
			why = append(why, fmt.Sprintf("%s (%v) does not answer any more", r.Name, r.Addr))
		case r.Refusal != "":
			why = append(why, fmt.Sprintf("%s (%v): %s", r.Name, r.Addr, r.Refusal))
		default:
			why = append(why, fmt.Sprintf("%s (%v) has not answered yet", r.Name, r.Addr))
		}
	}
	return errors.New("not registered at a rendezvous server: " + cmp.Or(strings.Join(why, "; "), "there is none"))
}

// reportState reports a state of the client. doc is made of the same one.
func reportState(s metrics.Scrape, cfg *conf.Client, c *client.Status, doc *control.Status) {
	for _, r := range c.RDVs {
		s.Is(mRegistered, r.Registered && !r.Silent, r.Name)
		s.Is(mAuthentic, r.Authenticated, r.Name)
		s.Is(mUsed, r.Used, r.Name)
		s.Time(mRDVExpiry, r.Server.Expires, r.Name)
	}
	reportTally(s, c)
	s.Set(mMaxPeers, float64(cfg.MaxClients))
	s.Set(mUnreachable, float64(len(c.Failures)))
	reportPeers(s, c.Peers)
	for part, drops := range map[string]map[string]uint64{
		"client": doc.Drops.Client, "socket": doc.Drops.Socket, "device": doc.Drops.Device, "switch": doc.Ethernet.Drops,
	} {
		s.CountBy(mDrops, drops, part)
	}
	reportNAT(s, c, doc)
	reportTrust(s, doc)
	reportFilter(s, c)
	if e := c.Ethernet; e != nil {
		s.Set(mMACs, float64(e.MACs))
		s.Set(mGroups, float64(e.Groups))
		s.Set(mKnown, float64(e.Known))
		s.Set(mConnected, float64(e.Connected))
		s.CountBy(mMulticast, groupCounters(&e.Multicast))
	}
	reportEnds(s, doc)
}

// reportTally reports what was counted since the client was made.
func reportTally(s metrics.Scrape, c *client.Status) {
	t := &c.Tally
	s.Count(mHandshakes, t.Handshakes, "ok")
	s.Count(mHandshakes, t.HandshakesRefused, "refused")
	s.Count(mHandshakes, t.HandshakesFailed, "failed")
	s.CountBy(mRefusals, t.Refusals)
	s.Count(mRekeys, t.Rekeys, "ok")
	s.Count(mRekeys, t.RekeysFailed, "failed")
	s.Count(mMoves, t.Moves)
	s.Count(mPacketsIn, t.PacketsIn)
	s.Count(mBytesIn, t.BytesIn)
	s.Count(mPacketsOut, t.PacketsOut)
	s.Count(mBytesOut, t.BytesOut)
}

// The states of peers, and the kinds of paths; those that nobody has are reported, too.
var (
	peerStates = []string{"new", "punching", "linked", "established", "closed"}
	pathKinds  = []string{"lan", "direct", "tcp", "relay", "original"}
)

// pathKind returns the kind of a session's path.
func pathKind(p *client.PeerStatus) string {
	switch p.Path {
	case "":
		return "original" // of which no more is known
	case "wan":
		return "direct"
	}
	return p.Path
}

// reportPeers reports all peers, of which there are at most max_clients.
func reportPeers(s metrics.Scrape, peers []client.PeerStatus) {
	states, paths := map[string]int{}, map[string]int{}
	for i := range peers {
		p := &peers[i]
		states[strings.ToLower(p.State)]++
		if !p.Since.IsZero() {
			paths[pathKind(p)]++
		}
		reportPeer(s, p)
	}
	for _, state := range peerStates {
		s.Set(mPeers, float64(states[state]), state)
	}
	for _, kind := range pathKinds {
		s.Set(mSessions, float64(paths[kind]), kind)
	}
}

// reportPeer reports a peer. What has not happened is left out where there may be a
// thousand of it.
func reportPeer(s metrics.Scrape, p *client.PeerStatus) {
	peer := p.VPNAddr.String()
	open := !p.Since.IsZero()
	s.Is(mPeerUp, open, peer)
	if p.Waiting > 0 {
		s.Set(mPeerWaiting, float64(p.Waiting), peer)
	}
	if !open {
		return
	}
	s.Set(mPeerInfo, 1, peer, p.Name, pathKind(p), cmp.Or(p.Protocol, originalProtocol), p.Cipher)
	if p.RTT > 0 {
		s.Set(mPeerRTT, p.RTT.Seconds(), peer)
	}
	if p.PathMTU > 0 {
		s.Set(mPeerMTU, float64(p.PathMTU), peer)
	}
	s.Count(mPeerPacketsIn, p.PacketsIn, peer)
	s.Count(mPeerBytesIn, p.BytesIn, peer)
	s.Count(mPeerPacketsOut, p.PacketsOut, peer)
	s.Count(mPeerBytesOut, p.BytesOut, peer)
	s.CountBy(mPeerDrops, p.Drops, peer)
	s.Count(mPeerMoves, uint64(p.Moves), peer)
	s.Count(mPeerRekeys, uint64(p.Rekeys), peer, "ok")
	if p.RekeyFailures > 0 {
		s.Count(mPeerRekeys, uint64(p.RekeyFailures), peer, "failed")
	}
	s.Time(mPeerLastIn, p.LastIn, peer)
}

// reportNAT reports what is between this host and the Internet.
func reportNAT(s metrics.Scrape, c *client.Status, doc *control.Status) {
	if c.NAT.Known {
		n := doc.NAT
		s.Set(mNAT, 1, n.Mapping, n.Filtering, n.Ports)
		s.Is(mNATHard, n.Hard)
		s.Is(mNATBlocked, n.Blocked)
	}
	s.Count(mHardTries, c.HardNAT.Attempts)
	s.Count(mHardSockets, c.HardNAT.Sockets)
	s.Count(mHardProbes, c.HardNAT.Probes)
	s.Count(mHardSuccess, c.HardNAT.Successes)
	for _, family := range []string{"ipv4", "ipv6"} {
		i := slices.IndexFunc(doc.PortMapping.Mappings, func(m control.MappedPort) bool { return m.Family == family })
		if i >= 0 {
			m := doc.PortMapping.Mappings[i]
			s.Is(mMapping, m.Method != "", family)
			s.Time(mMappingExpiry, m.Expires, family)
		}
	}
}

// reportTrust reports certificates, revocation lists and policy.
func reportTrust(s metrics.Scrape, doc *control.Status) {
	var certificates []metrics.Certificate
	for _, c := range doc.Certificates {
		certificates = append(certificates, metrics.Certificate{Authority: c.Authority, Name: c.Name, Serial: c.Serial, Expires: c.Expires})
	}
	s.Certificates(mCertExpiry, certificates)
	var lists []metrics.RevocationList
	for _, r := range doc.Revocations {
		lists = append(lists, metrics.RevocationList{Authority: r.Authority, Issued: r.Issued, Next: r.NextUpdate, Certificates: r.Certificates})
	}
	s.RevocationLists(mCRLNext, mCRLIssued, mCRLSize, lists)
	if o := doc.OCSP; o.Mode != "" {
		s.Count(mOCSP, o.Good, "good")
		s.Count(mOCSP, o.Revoked, "revoked")
		s.Count(mOCSP, o.Unknown, "unknown")
		s.Count(mOCSP, o.Failed, "failed")
	}
	s.Set(mPolicy, float64(doc.Policy.Version), doc.Policy.Source)
	s.Time(mBulletin, doc.Bulletin.Issued)
}

// reportFilter reports what the policy's filters do.
func reportFilter(s metrics.Scrape, c *client.Status) {
	s.Set(mFlows, float64(c.Filter.Flows))
	s.Count(mFlowsEvicted, c.Filter.Evicted)
	s.Count(mFlowsExpired, c.Filter.Expired)
	for verdict, n := range c.Filter.Drops {
		s.Count(mFilterDrops, n, strings.TrimPrefix(verdict.String(), "filter_"))
	}
}

// reportEnds reports the two ends of the data path: the socket and the interface.
func reportEnds(s metrics.Scrape, doc *control.Status) {
	s.Count(mSockIn, doc.Socket.ReceivedDatagrams)
	s.Count(mSockInCalls, doc.Socket.ReceiveCalls)
	s.Count(mSockOut, doc.Socket.SentDatagrams)
	s.Count(mSockOutCall, doc.Socket.SendCalls)
	s.Count(mSockErrors, doc.Socket.PathErrors)
	if doc.Socket.ReceiveBufferBytes > 0 {
		s.Set(mSockBuffer, float64(doc.Socket.ReceiveBufferBytes))
	}
	s.Count(mDevRead, doc.Device.ReadPackets)
	s.Count(mDevWritten, doc.Device.WrittenPackets)
	s.Set(mDevMTU, float64(doc.Device.MTUBytes))
}
