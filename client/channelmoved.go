package client

import (
	"slices"
	"time"

	"campagnol/rdv/channel"
)

// The channel of a client that moves. What has changed about where we are is told over
// the channel that stands: REGISTER again, whose answer is REGISTERED. A handshake is
// needed only if the server no longer knows the endpoint that our datagrams come from;
// PING finds that out, since RECONNECT is its answer to strangers:
//
//	moved ──PING──► PONG: as before
//	   │      └───► RECONNECT, or nothing: KNOCK
//	   └─ no channel stands, or the next is on its way: KNOCK

// How a PING is repeated that is to show whether the server knows us.
const (
	checkCount    = 4
	checkInterval = 250 * time.Millisecond
)

// sayRegister sends REGISTER on a link.
func (m *serverChannel) sayRegister(now time.Time, l *link, out []chanOut) []chanOut {
	return m.send(now, &request{msg: m.cfg.register, on: l}, out)
}

// update takes what has changed about us, and tells the server: over the channel that
// stands, or with the REGISTER of the next one.
func (m *serverChannel) update(now time.Time, cfg channelConfig, out []chanOut) []chanOut {
	same := sameRegister(&m.cfg.register, &cfg.register)
	m.cfg = cfg
	if m.state == chanOff || same {
		return out
	}
	m.dropRegister()
	if m.link != nil {
		out = m.sayRegister(now, m.link, out)
	}
	if m.joining != nil {
		out = m.sayRegister(now, m.joining, out)
	}
	return out
}

// sameRegister reports whether two REGISTERs say the same.
func sameRegister(a, b *channel.Message) bool {
	return a.NAT == b.NAT && a.Software == b.Software && slices.Equal(a.VPN, b.VPN) && slices.Equal(a.Endpoints, b.Endpoints) &&
		slices.Equal(a.Candidates, b.Candidates) && slices.Equal(a.Scopes, b.Scopes)
}

// updated takes the answer to a REGISTER on the link that stands.
func (m *serverChannel) updated(now time.Time, msg *channel.Message, out []chanOut) []chanOut {
	if msg.Type != channel.Registered { // it has changed its mind about us, or forgotten us
		return m.look(now, out)
	}
	m.link.lease = time.Duration(msg.Lease) * time.Second
	if len(msg.Endpoints) > 0 {
		m.link.endpoint = msg.Endpoints[0]
	}
	return m.offered(now, msg.Objects, out)
}

// moved takes that our datagrams may come from elsewhere now, or that the server can
// be reached again.
func (m *serverChannel) moved(now time.Time, out []chanOut) []chanOut {
	switch m.state {
	case chanOff:
		return out
	case chanUp:
		m.checks, m.ping = checkCount, now
		return m.checkPing(now, out)
	}
	// Cookies are for the endpoint that we had, and a back-off was for a server that
	// could not be reached from there.
	return m.renew(now, m.cfg, out)
}

// checkPing says PING, and soon again while it is in doubt whether the server knows us.
func (m *serverChannel) checkPing(now time.Time, out []chanOut) []chanOut {
	doubt := m.checks > 0
	if doubt {
		if m.checks--; m.checks == 0 {
			return m.reconnect(now, out)
		}
	}
	out = m.sayPing(now, out)
	if doubt && m.link != nil {
		m.ping = now.Add(checkInterval)
	}
	return out
}

// reconnect begins the next channel, since the server does not know the endpoint that
// we have now.
func (m *serverChannel) reconnect(now time.Time, out []chanOut) []chanOut {
	m.checks = 0
	if m.link != nil {
		m.ping = now.Add(m.link.pingInterval())
	}
	if m.state != chanUp && m.state != chanWaiting {
		return out // it is on its way
	}
	return m.begin(now, out)
}
