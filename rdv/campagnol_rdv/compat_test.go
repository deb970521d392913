//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"campagnol/conf"
	"campagnol/internal/logging"
	"campagnol/internal/service"
)

// TestMessagesStayOutOfSyslog: with -d each message is logged, but not in the
// background, where that would fill the system's log; what happens to clients is
// logged there, too.
func TestMessagesStayOutOfSyslog(t *testing.T) {
	for _, daemon := range []bool{false, true} {
		o := &options{RDV: conf.NewRDV(), debug: 2}
		o.Daemon = daemon
		port := freePort(t)
		if err := o.SetPort(fmt.Sprint(port)); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		running, err := o.start(t.Context(), &service.Starting{
			Log:  slog.New(logging.NewText(&log, &log, logging.Level(false, o.debug))),
			Warn: func(msg, _ string) { t.Errorf("warning: %s", msg) },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var server sync.WaitGroup
		server.Go(func() {
			if err := running.Serve(ctx); err != nil {
				t.Error(err)
			}
		})
		c := dial(t, "", "127.0.0.1", port)
		c.send(hello1)
		c.receive(ok)
		c.send(bye)
		c.send(ping)
		c.receive(reconnect)
		cancel()
		server.Wait()
		for text, want := range map[string]bool{
			"Server listening": true, "Adding new client": true, "Deleting the client": true,
			"<< HELLO": !daemon, ">> OK": !daemon, hello1: !daemon,
		} {
			if got := strings.Contains(log.String(), text); got != want {
				t.Errorf("in the background %v: %q is in the log: %v, want %v\n%s", daemon, text, got, want, &log)
			}
		}
	}
}
