package load

import (
	"fmt"
	"time"

	"campagnol/rdv/channel"
)

// A PushResult is how a new object has reached the clients.
type PushResult struct {
	Published time.Time     // when Publish returned; zero: there was none
	Before    Usage         // of the server until then
	First     time.Duration // from then to the first NOTICE
	LastDone  time.Duration // from the first NOTICE to the last first DONE
	LastChunk time.Duration // from the first NOTICE to the end of the last object
	Notices   int
	Noticed   int   // clients that were told
	Fetched   int   // clients that have it
	Used      Usage // by the server from Publish to the last CHUNK

	first time.Time
}

func (p PushResult) String() string {
	if p.Published.IsZero() {
		return ""
	}
	return fmt.Sprintf("\nobject: first NOTICE after %v; from then on %d clients told within %v, %d have it within %v; %d NOTICEs; server %.2f s of processor time",
		short(p.First), p.Noticed, short(p.LastDone), p.Fetched, short(p.LastChunk), p.Notices, p.Used.CPU().Seconds())
}

// A pushed is what a client knows of the new object.
type pushed struct {
	name    channel.Object
	size    uint32 // bytes that have arrived
	noticed bool
}

// publish calls Publish when it is time.
func (r *authRunner) publish(now time.Time, over time.Duration) (err error) {
	p := &r.result.Push
	switch {
	case r.cfg.Publish == nil || over < r.cfg.Duration/3:
	case r.published == nil:
		r.published = make(chan error, 1)
		if p.Before, err = r.usage(); err != nil {
			return err
		}
		r.helpers.Go(func() { r.published <- r.cfg.Publish() })
	case p.Published.IsZero():
		select {
		case err := <-r.published:
			p.Published = now
			return err
		default:
		}
	}
	return nil
}

// noticed takes a NOTICE: c answers it, and fetches the object.
func (r *authRunner) noticed(at time.Time, c *authClient, m channel.Message) {
	p := &r.result.Push
	r.say(c, channel.Message{Type: channel.Done, ID: m.ID})
	if len(m.Objects) == 0 {
		return
	}
	if p.Notices++; p.first.IsZero() {
		p.first, p.First = at, at.Sub(p.Published)
	}
	if c.object.noticed {
		return
	}
	c.object = pushed{name: m.Objects[0], noticed: true}
	p.Noticed++
	p.LastDone = at.Sub(p.first)
	r.fetch(c)
}

// fetch asks for the next piece.
func (r *authRunner) fetch(c *authClient) {
	r.say(c, channel.Message{Type: channel.Fetch, ID: 1 << 30, Objects: []channel.Object{c.object.name}, Offset: c.object.size})
}

// fetchAgain asks for what did not arrive.
func (r *authRunner) fetchAgain(c *authClient) {
	if c.object.noticed && c.object.size < c.object.name.Size {
		r.fetch(c)
	}
}

// chunk takes a piece.
func (r *authRunner) chunk(at time.Time, c *authClient, m channel.Message) {
	if m.Offset != c.object.size || len(m.Data) == 0 {
		return // a repetition
	}
	if c.object.size += uint32(len(m.Data)); c.object.size < c.object.name.Size {
		r.fetch(c)
		return
	}
	p := &r.result.Push
	p.Fetched++
	p.LastChunk = at.Sub(p.first)
	if p.Fetched == len(r.clients) {
		if end, err := r.usage(); err == nil {
			p.Used = end.Sub(p.Before)
		}
	}
}
