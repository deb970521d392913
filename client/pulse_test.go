package client

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"campagnol/tunnel/device"
)

// TestListenerAfterPause: an original cannot be asked whether it is there. When
// packets for it begin after a pause, it has five seconds from the first of them,
// not from when it was heard last.
func TestListenerAfterPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(syncBuffer)
		c := newCrowd(t, &deafConn{closed: make(chan struct{})}, 1, 0, func(cfg *Config) {
			cfg.Log = slog.New(slog.NewTextHandler(log, nil))
		})
		dev := c.client.cfg.Device.(*device.Memory)
		vpn, _ := peerAt(0)
		speak := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); pass(200 * time.Millisecond) {
				if !dev.Inject(packetTo(c.client.cfg.VPNAddr, vpn, "anybody?")) {
					t.Fatal("the device took no packet")
				}
			}
		}
		missed := func() bool { return strings.Contains(log.String(), "Peer no longer answers") }
		pass(time.Minute)
		speak(4800 * time.Millisecond)
		if missed() {
			t.Error("a peer that may be a mere listener is missed before its time")
		}
		speak(time.Second)
		if !missed() {
			t.Error("a peer that has not answered for more than five seconds is not missed")
		}
		c.stop()
	})
}
