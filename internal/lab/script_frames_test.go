package lab

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Of an Ethernet: the script's part of [frameWorld].

func (s *script) Meet(ctx context.Context, from, to int) (Meeting, error) {
	r := PingResult{To: vpnAddr(to), Start: time.Now(), RTT: []time.Duration{2 * ms, ms}}
	if s.pinged != nil {
		s.pinged(&r)
	}
	return Meeting{ARP: ms, MAC: "02:ca:0a:09:00:02", Ping: r}, s.call(ctx, "Meet", from, to)
}

func (s *script) Stream(ctx context.Context, from, member, other int, meanwhile func(context.Context) error) (StreamResult, error) {
	r := StreamResult{
		Before: StreamCount{Sent: 100}, First: 4 * ms,
		During: StreamCount{Sent: 100, Received: 99, ToMember: 100}, Pruned: 2010 * ms,
	}
	if s.streamed != nil {
		s.streamed(&r)
	}
	if err := s.call(ctx, "Stream", from, member, other); err != nil {
		return r, err
	}
	return r, meanwhile(ctx)
}

func (s *script) Ask(ctx context.Context, peer int, command string) ([]byte, error) {
	answer := s.answers[command]
	if answer == "" && command == "fdb" {
		var entries []string
		for i := range s.plan {
			at := fmt.Sprintf(`,"vpn_address":"%v"`, vpnAddr(i))
			if i == peer {
				at = ""
			}
			entries = append(entries, fmt.Sprintf(`{"mac":"02:ca:0a:09:00:%02x","kind":"pinned"%s}`, i+1, at))
		}
		answer = `{"macs":[` + strings.Join(entries, ",") + `]}`
	} else if answer == "" {
		answer = `{"groups":[{"group":"239.1.2.3","members":[{"vpn_address":"10.9.0.2"}]},{"group":"224.0.0.251","members":[]}]}`
	}
	return []byte(answer), s.call(ctx, "Ask", peer, command)
}
