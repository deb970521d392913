package daemon

import (
	"fmt"
	"net"
	"os"
	"time"
)

// States for Notify.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
)

// Notify tells a service manager that waits for it, as systemd with
// Type=notify, our state: see sd_notify(3). It does nothing if there is none.
func Notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	// An @ at the beginning stands for an abstract socket, here and there.
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	defer conn.Close()
	conn.SetWriteDeadline(time.Now().Add(time.Second)) // it may be stuck; we need not be
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	return nil
}
