package client

import (
	"net/netip"
	"time"

	"campagnol/punch"
	"campagnol/tunnel"
)

// An outgoing is a datagram in the outbox, with the socket that it leaves by.
type outgoing struct {
	conn punch.Conn // nil: the primary one
	punch.Datagram
}

// send puts a datagram into the outbox, which keeps it.
func (c *Client) send(to netip.AddrPort, b []byte) { c.sendTo(punch.Endpoint{Addr: to}, b) }

// sendTo is send to where a peer is.
func (c *Client) sendTo(at punch.Endpoint, b []byte) {
	c.outbox = append(c.outbox, outgoing{at.Conn, punch.Datagram{Addr: at.Addr, Data: b}})
}

// sendRecordTo is sendTo for a DTLS record, which counts for the rate limits.
func (c *Client) sendRecordTo(now time.Time, at punch.Endpoint, b []byte) {
	c.shaper.charge(now, b)
	c.sendTo(at, b)
}

// sendToPeer sends a record along the path of p's session.
func (c *Client) sendToPeer(now time.Time, p *peer, b []byte) { c.sendRecordTo(now, p.at, b) }

// socket returns what a conn stands for that is nil for the primary socket.
func (c *Client) socket(conn punch.Conn) punch.Conn {
	if conn == nil {
		return c.cfg.Conn
	}
	return conn
}

// flush sends what is in the outbox, in order, and closes the extra sockets that
// nothing will leave by any more.
func (c *Client) flush() {
	for rest := c.outbox; len(rest) > 0; {
		conn := rest[0].conn
		c.batch = c.batch[:0]
		for len(rest) > 0 && rest[0].conn == conn {
			c.batch = append(c.batch, rest[0].Datagram)
			rest = rest[1:]
		}
		if err := c.socket(conn).Send(c.batch); err != nil {
			c.log.Debug("send", "err", err)
			c.drops.Add(tunnel.DropSend)
		}
		clear(c.batch)
	}
	clear(c.outbox)
	c.outbox = c.outbox[:0]
	for i, conn := range c.closing {
		conn.Close()
		c.closing[i] = nil
	}
	c.closing = c.closing[:0]
}

// closeLater closes an extra socket when the outbox is empty; nil is none.
func (c *Client) closeLater(conn punch.Conn) {
	if conn != nil {
		c.closing = append(c.closing, conn)
	}
}
