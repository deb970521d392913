package daemon

import (
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// States for Notify.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Alive    = "WATCHDOG=1"
)

// Status returns what the service manager shows people about a program, in a line.
func Status(text string) string {
	// A state is a line; what follows would be another one.
	return "STATUS=" + strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// Managed reports whether a service manager waits to be told our state.
func Managed() bool { return os.Getenv("NOTIFY_SOCKET") != "" }

// Reloading returns the state of a program that reads its configuration again; Ready
// ends it. since is the time of the monotonic clock, by which the service manager
// tells this reload from the one before.
func Reloading(since time.Duration) string {
	return "RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(since.Microseconds(), 10)
}

// WatchdogInterval returns how often the service manager wants to hear that we are
// alive, and 0 if it does not: see sd_watchdog_enabled(3). It is half the time after
// which it would kill us.
func WatchdogInterval() time.Duration {
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 || usec > int64(time.Duration(math.MaxInt64)/time.Microsecond) {
		return 0
	}
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0 // meant for another process
	}
	return time.Duration(usec) * time.Microsecond / 2
}

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
