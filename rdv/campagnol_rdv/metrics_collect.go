package main

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"campagnol/internal/audit"
	"campagnol/internal/metrics"
	"campagnol/pki"
	"campagnol/punch"
	"campagnol/punch/udp"
	"campagnol/rdv"
	"campagnol/rdv/relay"

	"github.com/prometheus/client_golang/prometheus"
)

// censusTime is how long the server may take to tell about its members.
const censusTime = 3 * time.Second

// A collector reads the metrics of a server.
type collector struct {
	server  *rdv.Server
	cfg     *rdv.Config
	trail   *audit.Trail
	relayed int // how many relayed addresses there can be
}

// Describe is the method of [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) { serverMetrics.Describe(ch) }

// Collect is the method of [prometheus.Collector]. The server counts anyway, and is
// asked for its members once.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), censusTime)
	defer cancel()
	s := metrics.NewScrape(ch)
	now := time.Now()
	census, err := c.server.Census(ctx)
	s.Is(mServing, err == nil)
	if err == nil {
		reportCensus(s, &census)
	}
	st := c.server.Stats()
	reportStats(s, &st)
	s.Set(mMaxClients, float64(c.cfg.MaxClients))
	s.Set(mMaxQueue, float64(c.server.Batches()))
	if c.cfg.Relay != nil {
		s.Set(mMaxRelayed, float64(c.relayed))
		s.Count(mGrants, st.Grants)
		reportRelay(s, &st.Relay)
	}
	for _, conn := range append([]punch.Conn{c.cfg.Conn}, c.cfg.MoreConns...) {
		reportSocket(s, conn)
	}
	s.Count(mAuditRecords, c.trail.Written())
	s.Count(mAuditLost, c.trail.Lost())
	reportTrust(s, c.server.Expiries(), c.server.Revocations(now))
}

// ready returns why the server does not serve; nil: it does.
func (c *collector) ready(ctx context.Context) error {
	if _, err := c.server.Census(ctx); err != nil {
		return cmp.Or(ctx.Err(), errors.New("the server is just being started or stopped"))
	}
	return nil
}

// Ways in which clients are known, and are told of each other.
const (
	inClear     = "clear"
	overChannel = "channel"
)

// reportStats reports what the server has counted, without the relay.
func reportStats(s metrics.Scrape, st *rdv.Stats) {
	s.Set(mClients, float64(st.Clear), inClear)
	s.Set(mClients, float64(max(0, st.Clients-st.Clear)), overChannel)
	s.Set(mChannels, float64(st.Channels))
	s.Set(mPairs, float64(st.Sessions))
	s.Count(mIntroduced, st.IntroducedClear, inClear)
	s.Count(mIntroduced, st.Introduced, overChannel)
	s.CountBy(mRefused, st.Refused.ByReason())
	s.Count(mPings, st.Pings)
	s.Count(mReceived, st.Received)
	s.Count(mSent, st.Sent)
	s.CountBy(mDropped, dropsOf(&st.Dropped))
	s.Set(mQueue, float64(st.Busy))

	s.Count(mKnocks, st.Knocks)
	s.Set(mHalfOpen, float64(st.HalfOpen))
	s.Count(mHandshakes, st.Established, "ok")
	s.Count(mHandshakes, st.Failed, "failed")
	s.Count(mPutOff, st.PutOff)

	s.Count(mNotices, st.Notices)
	s.Count(mChunks, st.Chunks)
	s.Count(mObjects, st.ObjectsTaken, "taken")
	s.Count(mObjects, st.ObjectsRefused, "refused")
	s.Count(mLists, st.Lists)
	s.Count(mBindings, st.Bindings)
	s.Is(mAuthority, st.Authorities > 0)
	s.Count(mApplied, st.Applied)
	s.Count(mAnswered, st.Answered)
}

// dropsOf returns drops by reason.
func dropsOf(d *rdv.Drops) map[string]uint64 {
	return map[string]uint64{
		"malformed": d.Malformed, "other_protocol": d.OtherProtocol, "address": d.Address, "unexpected": d.Unexpected,
		"limited": d.Limited, "limited_stun": d.Bindings, "limited_relay": d.Relaying,
		"bad_cookie": d.BadCookie, "stray": d.Stray, "forged": d.Forged, "replayed": d.Replayed,
		"clear": d.Clear, "clear_stream": d.ClearStream, "denied": d.Denied, "unheard": d.Unheard, "greedy": d.Greedy,
		"deferred": d.Deferred, "unanswered": d.Unanswered, "objects_lost": d.ObjectsLost, "send_failed": d.SendFailed,
	}
}

// reportRelay reports what the relay has counted.
func reportRelay(s metrics.Scrape, r *relay.Stats) {
	s.Set(mRelayed, float64(r.Allocations))
	s.Count(mAllocated, r.Allocated)
	s.Count(mRelayRefuse, r.Refused)
	s.Count(mRequests, r.Requests)
	s.Count(mRelayData, r.ToPeers, "peers")
	s.Count(mRelayData, r.ToClients, "clients")
	s.Count(mRelayBytes, r.Bytes)
	d := &r.Dropped
	s.CountBy(mRelayDrops, map[string]uint64{
		"denied": d.Denied, "queue": d.Queue, "unbound": d.Unbound, "forbidden": d.Forbidden,
		"unwanted": d.Unwanted, "limited": d.Limited, "send_failed": d.Failed,
	})
}

// reportSocket reports what a socket has not taken or given.
func reportSocket(s metrics.Scrape, conn punch.Conn) {
	c, ok := conn.(interface {
		Stats() udp.Stats
		Features() udp.Features
	})
	if !ok {
		return
	}
	port, st := strconv.Itoa(int(conn.LocalAddr().Port())), c.Stats()
	s.CountBy(mSocket, map[string]uint64{"buffer_full": st.KernelDropped, "truncated": st.Truncated, "unsent": st.Unsent}, port)
	if size := c.Features().RcvBuf; size > 0 {
		s.Set(mBuffer, float64(size), port)
	}
}

// reportTrust reports certificates and revocation lists.
func reportTrust(s metrics.Scrape, expiries []pki.Expiry, revocations []pki.Revocation) {
	var certificates []metrics.Certificate
	for _, e := range expiries {
		certificates = append(certificates, metrics.Certificate{Authority: e.CA, Name: e.Name, Serial: e.Serial, Expires: e.At})
	}
	s.Certificates(mCertExpiry, certificates)
	var lists []metrics.RevocationList
	for _, r := range revocations {
		lists = append(lists, metrics.RevocationList{Authority: r.Issuer, Issued: r.ThisUpdate, Next: r.NextUpdate, Certificates: r.Certificates})
	}
	s.RevocationLists(mCRLNext, mCRLIssued, mCRLSize, lists)
}

// reportCensus reports what members' certificates say.
func reportCensus(s metrics.Scrape, c *rdv.Census) {
	buckets := map[float64]uint64{}
	for i, bound := range rdv.CensusBounds {
		buckets[bound.Seconds()] = uint64(c.Within[i])
	}
	s.Distribution(mMemberLeft, uint64(c.Members), c.Left, buckets)
	s.Time(mMemberFirst, c.First)
}
