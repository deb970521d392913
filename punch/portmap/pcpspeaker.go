package portmap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// pcpPort is that of servers of PCP and NAT-PMP (RFC 6887 section 19.1).
const pcpPort = 5351

// firstWait is how long to wait for an answer of the gateway before the question is
// repeated; the waits double. RFC 6887 section 8.1.1 has 3 s for servers anywhere;
// the gateway is next to us, and RFC 6886 section 3.1 has this value.
const firstWait = 250 * time.Millisecond

// A pcpSpeaker asks by PCP.
type pcpSpeaker struct {
	way   Way
	nonce nonce // of the one mapping that it makes
}

func (s *pcpSpeaker) hello(ctx context.Context) (pulse, error) {
	a, err := s.exchange(ctx, opAnnounce, 0, appendAnnounce(nil, s.way.Local))
	if err != nil {
		return pulse{}, err
	}
	// Some servers know no ANNOUNCE, and say so by PCP.
	if a.result == pcpUnsupportedVersion {
		return pulse{}, errOldPCP
	}
	return a.pulse(), nil
}

func (s *pcpSpeaker) ask(ctx context.Context, w wish) (grant, error) {
	r := s.request(w)
	r.lifetime = uint32(w.lifetime / time.Second)
	a, err := s.exchange(ctx, opMap, w.port, r.Append(nil))
	if err == nil {
		err = a.refusal()
	}
	if err != nil {
		return grant{}, err
	}
	return a.granted()
}

func (s *pcpSpeaker) check(ctx context.Context, _ netip.AddrPort) (pulse, error) { return s.hello(ctx) }

func (s *pcpSpeaker) remove(ctx context.Context, w wish, external netip.AddrPort) error {
	w.external = external
	a, err := s.exchange(ctx, opMap, w.port, s.request(w).Append(nil))
	if err != nil {
		return err
	}
	return a.refusal()
}

// request returns a request without a lifetime.
func (s *pcpSpeaker) request(w wish) mapRequest {
	return mapRequest{
		local:    netip.AddrPortFrom(s.way.Local, w.port),
		nonce:    s.nonce,
		external: netip.AddrPortFrom(w.external.Addr(), w.suggested()),
	}
}

// exchange sends a request until there is an answer to it, or ctx is done.
func (s *pcpSpeaker) exchange(ctx context.Context, op byte, port uint16, request []byte) (pcpAnswer, error) {
	conn, err := dial(s.way)
	if err != nil {
		return pcpAnswer{}, fmt.Errorf("PCP: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, pcpMax+1)
	for wait := firstWait; ctx.Err() == nil; wait *= 2 {
		if _, err := conn.Write(request); err != nil {
			return pcpAnswer{}, fmt.Errorf("PCP: %w", silence(err))
		}
		conn.SetReadDeadline(time.Now().Add(wait))
		for ctx.Err() == nil {
			n, err := conn.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return pcpAnswer{}, fmt.Errorf("PCP: %w", silence(err))
			}
			a, err := parsePCP(buf[:n])
			if errors.Is(err, errOldPCP) {
				return a, fmt.Errorf("PCP: %w", err)
			}
			if err == nil && a.answers(op, s.nonce, port) == nil {
				return a, nil
			}
		}
	}
	return pcpAnswer{}, fmt.Errorf("PCP: %w", errSilent)
}

// dial returns a socket that sends to the gateway's port for PCP and NAT-PMP, and
// receives from nowhere else.
func dial(w Way) (*net.UDPConn, error) {
	return net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(w.Local, 0)),
		net.UDPAddrFromAddrPort(netip.AddrPortFrom(w.Gateway, pcpPort)))
}

// silence returns errSilent for an error which says that nobody listens.
func silence(err error) error {
	if isRefused(err) {
		return errSilent
	}
	return err
}
