package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

const (
	// probePatience is how long one packet of a measurement may take. Nothing
	// in a lab delays packets; what is not there after this time was lost.
	probePatience = 500 * time.Millisecond
	// probeTries is how often a packet is sent before it counts as filtered.
	probeTries = 4
	// outerTries is how often one is sent that nothing on the way filters: a
	// path that loses three of ten still lets one of so many through.
	outerTries = 12
)

// Measure finds out by experiment what is done to the UDP packets of a host on
// their way to the Internet and back, all NATs in between together. It uses
// sockets of its own, and two addresses of the Internet.
//
// The experiment (RFC 5780 section 4, without its protocol) has three parts:
//
//	host ──────────▶ 1:a     which outer address does a have before it?
//	host ◀─ 2:a, 1:b, 1:a    who may send to it?
//	host ──────────▶ 1:b 2:a which outer address do they have before them, and are
//	                         the ports in turn?
//
// The third comes last on purpose: it notices a NAT that gives a flow another
// port because an unwelcome packet has occupied the right one before.
func (l *Lab) Measure(ctx context.Context, h *Host) (Behaviour, error) {
	m, err := l.newMeasurement(ctx, h)
	if err != nil {
		return Behaviour{}, err
	}
	defer m.close()
	b, err := m.run()
	if err != nil {
		return Behaviour{}, h.wrap("measure the NAT", err)
	}
	return b, nil
}

// A measurement is the sockets of one experiment. Owned by one goroutine.
type measurement struct {
	ctx    context.Context
	token  string // begins every packet, so that strays are told apart
	host   *net.UDPConn
	probes [3]*net.UDPConn // see the constants
}

// The sockets on the Internet: two addresses, and two ports on the first.
const (
	probe1a = iota
	probe1b
	probe2a
)

func (l *Lab) newMeasurement(ctx context.Context, h *Host) (*measurement, error) {
	m := &measurement{ctx: ctx, token: rand.Text()}
	var err error
	if m.host, err = h.ListenUDP(netip.AddrPortFrom(netip.IPv4Unspecified(), 0)); err != nil {
		return nil, err
	}
	for i, at := range []netip.AddrPort{
		probe1a: netip.AddrPortFrom(probe1, 0),
		probe1b: netip.AddrPortFrom(probe1, 0),
		probe2a: netip.AddrPortFrom(probe2, 0),
	} {
		if m.probes[i], err = l.world.ListenUDP(at); err != nil {
			m.close()
			return nil, err
		}
	}
	return m, nil
}

func (m *measurement) close() {
	m.host.Close()
	for _, p := range m.probes {
		if p != nil {
			p.Close()
		}
	}
}

// run makes the experiment.
func (m *measurement) run() (b Behaviour, err error) {
	outer, err := m.outer(probe1a)
	if err != nil {
		return b, err
	}
	if b.Filtering, err = m.filtering(outer); err != nil {
		return b, err
	}
	otherPort, err := m.outer(probe1b)
	if err != nil {
		return b, err
	}
	otherAddr, err := m.outer(probe2a)
	if err != nil {
		return b, err
	}
	switch {
	case outer == otherPort && outer == otherAddr:
		b.Mapping = EndpointIndependent
	case outer == otherPort:
		b.Mapping = AddressDependent
	default:
		b.Mapping = AddressAndPortDependent
	}
	b.InTurn = b.Mapping == AddressAndPortDependent && follows(outer, otherPort) && follows(otherPort, otherAddr)
	return b, nil
}

// follows reports whether the outer port of b is one of the next behind that of a:
// other flows may have got some between them. Two random ports in a row are that close
// once in millions of times.
func follows(a, b netip.AddrPort) bool {
	const near = 16
	return b.Port() > a.Port() && b.Port()-a.Port() <= near
}

// outer sends from the host to a probe and returns the source address that the
// probe sees.
func (m *measurement) outer(probe int) (netip.AddrPort, error) {
	to := m.probes[probe].LocalAddr().(*net.UDPAddr).AddrPort()
	for range outerTries {
		if _, err := m.host.WriteToUDPAddrPort([]byte(m.token), to); err != nil {
			return netip.AddrPort{}, err
		}
		_, src, err := m.receive(m.probes[probe])
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return src, err
		}
	}
	return netip.AddrPort{}, fmt.Errorf("no UDP packet reached %v on the Internet in %d tries", to, outerTries)
}

// filtering sends from all probes to the outer address of a flow to the first,
// and returns which of them reach the host.
//
// Packets to one host do not overtake each other for long: the packet of the
// first probe, which is always let in, is sent last and tells that the others
// would have arrived. Three rounds make sure of it.
func (m *measurement) filtering(outer netip.AddrPort) (Dependence, error) {
	var arrived [len(m.probes)]bool
	rounds := 0
	for range probeTries {
		for _, probe := range []int{probe2a, probe1b, probe1a} {
			packet := []byte{byte(probe)}
			if _, err := m.probes[probe].WriteToUDPAddrPort(append([]byte(m.token), packet...), outer); err != nil {
				return 0, err
			}
		}
		complete, err := m.collect(&arrived)
		if err != nil {
			return 0, err
		}
		if complete {
			rounds++
		}
		if rounds == 3 {
			break
		}
	}
	switch {
	case !arrived[probe1a]:
		return 0, fmt.Errorf("the answers to a flow through %v do not come back", outer)
	case arrived[probe2a]:
		return EndpointIndependent, nil
	case arrived[probe1b]:
		return AddressDependent, nil
	}
	return AddressAndPortDependent, nil
}

// collect notes which probes' packets reach the host, until that of the first
// does; it returns false if it does not.
func (m *measurement) collect(arrived *[3]bool) (complete bool, err error) {
	for {
		rest, _, err := m.receive(m.host)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if len(rest) != 1 || int(rest[0]) >= len(arrived) {
			continue
		}
		arrived[rest[0]] = true
		if rest[0] == probe1a {
			return true, nil
		}
	}
}

// receive returns what follows the token in the next packet that has it.
func (m *measurement) receive(c *net.UDPConn) (rest []byte, src netip.AddrPort, err error) {
	if err := m.ctx.Err(); err != nil {
		return nil, src, err
	}
	if err := c.SetReadDeadline(time.Now().Add(probePatience)); err != nil {
		return nil, src, err
	}
	b := make([]byte, 128)
	for {
		n, src, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return nil, src, err
		}
		if rest, ok := bytes.CutPrefix(b[:n], []byte(m.token)); ok {
			return rest, netip.AddrPortFrom(src.Addr().Unmap(), src.Port()), nil
		}
	}
}
