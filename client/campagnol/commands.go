package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// commandTimeout is how long a command may run. The original waits for ever; but
// a client that hangs in a command is neither up nor does it end, and service
// managers lose their patience after 90 s. What takes longer belongs into the
// background.
const commandTimeout = 30 * time.Second

// outputGrace is how long we wait for the rest of the output of a command that
// has ended. It only passes if something that the command has left in the
// background holds its output open.
const outputGrace = 200 * time.Millisecond

const (
	maxOutput = 4096 // bytes of a command's output that are kept: the last ones
	lastLines = 5    // of the output, in a warning
)

// Variables are what commands can be told about the VPN.
type variables struct {
	device    string       // name of the virtual interface
	vpnIP     netip.Addr   // our address in the VPN
	mtu       int          // of the virtual interface, in bytes
	network   string       // as it is written in the configuration
	prefix    netip.Prefix // the same network, parsed
	vpnIP6    netip.Addr   // our IPv6 address in the VPN; the zero Addr: none
	prefix6   netip.Prefix // the VPN's IPv6 network
	localPort uint16       // of the UDP socket
	localIP   netip.Addr   // our address outside the VPN
}

// netmask returns the network mask with dots.
func (v variables) netmask() string {
	return net.IP(net.CIDRMask(v.prefix.Bits(), 32)).String()
}

// expand returns the command with the % variables replaced. What may contain
// anything, the interface and the network, comes quoted for the shell, as the
// original quotes it. Other letters, and a % at the end, stay as they are.
func (v variables) expand(command string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(command, "%")
		b.WriteString(before)
		switch {
		case !found:
			return b.String()
		case after == "": // the original reads on behind it
			b.WriteByte('%')
			return b.String()
		}
		b.WriteString(v.value(after[0]))
		command = after[1:]
	}
}

// value returns what stands for % and a letter.
func (v variables) value(letter byte) string {
	switch letter {
	case 'D':
		return quoteShell(v.device)
	case 'V':
		return v.vpnIP.String()
	case 'M':
		return strconv.Itoa(v.mtu)
	case 'N':
		return quoteShell(v.network)
	case 'n':
		return v.netmask()
	case 'P':
		return strconv.Itoa(int(v.localPort))
	case 'I':
		return v.localIP.String()
	case '%':
		return "%"
	}
	return string([]byte{'%', letter})
}

// environment returns the variables as they are in the environment of commands,
// beside our own: a script needs neither % nor quotes.
func (v variables) environment() []string {
	return []string{
		"CAMPAGNOL_DEVICE=" + v.device,
		"CAMPAGNOL_VPN_IP=" + v.vpnIP.String(),
		"CAMPAGNOL_MTU=" + strconv.Itoa(v.mtu),
		"CAMPAGNOL_NETWORK=" + v.network,
		"CAMPAGNOL_NETMASK=" + v.netmask(),
		"CAMPAGNOL_LOCAL_PORT=" + strconv.Itoa(int(v.localPort)),
		"CAMPAGNOL_LOCAL_IP=" + v.localIP.String(),
		"CAMPAGNOL_VPN_IP6=" + orEmpty(v.vpnIP6),
		"CAMPAGNOL_NETWORK6=" + orEmpty(v.prefix6),
	}
}

// orEmpty returns a as text, and nothing for the zero value.
func orEmpty(a interface {
	IsValid() bool
	String() string
}) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// runCommands runs the commands of up or down, one after the other. That one
// fails is logged, and keeps the others from nothing, as in the original. When
// ctx ends, the running command is killed and the others are not run: who calls
// it for down, when the program's context has ended, passes another one.
func runCommands(ctx context.Context, log *slog.Logger, v variables, commands []string) {
	for _, c := range commands {
		if ctx.Err() != nil {
			log.Info("Not running: {command}", "command", c)
			continue
		}
		runCommand(ctx, log, v, v.expand(c), commandTimeout)
	}
}

// runCommand runs a command, in which the variables are replaced, and logs what
// comes of it.
func runCommand(ctx context.Context, log *slog.Logger, v variables, command string, limit time.Duration) {
	log.Debug("Running: {command}", "command", command)
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	output, state, err := execute(limited, command, v.environment())
	lines := output.lines()
	for _, l := range lines {
		log.Debug("Output: {line}", "line", l)
	}
	warn := func(msg string, args ...any) {
		args = append(args, "command", command)
		if n := len(lines); n > 0 {
			args = append(args, "output", strings.Join(lines[max(0, n-lastLines):], "\n"))
		}
		log.Warn(msg, args...)
	}
	switch {
	case state == nil:
		warn("The command {command} could not be run", "err", err)
		return
	case state.Exited():
		log.Debug("Exited with status {status}", "status", state.ExitCode())
	}
	switch {
	case state.Success():
	case ctx.Err() != nil:
		log.Info("The command {command} was killed, because the program ends", "command", command)
	case errors.Is(limited.Err(), context.DeadlineExceeded):
		warn("The command {command} was killed, because it took longer than {limit}", "limit", limit)
	case state.Exited():
		warn("The command {command} failed with status {status}", "status", state.ExitCode())
	default:
		warn("The command {command} failed: {state}", "state", state.String())
	}
}

// execute runs a command by the shell, without input, until it ends or ctx does,
// which kills all its processes. It returns the output so far and how the command
// ended; the state is nil if it has not begun.
func execute(ctx context.Context, command string, env []string) (*tail, *os.ProcessState, error) {
	output := new(tail)
	cmd, err := shell(ctx, command)
	if err != nil {
		return output, nil, err
	}
	cmd.Env = append(os.Environ(), env...)
	r, w, err := os.Pipe()
	if err != nil {
		return output, nil, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close() // the command has its own
	if err != nil {
		r.Close()
		return output, nil, err
	}
	// A program that the command leaves in the background keeps its output. It
	// would end at its next message if we closed our side, so that is read for
	// as long as the program runs: the one goroutine for which nobody waits.
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		defer r.Close()
		output.readFrom(r)
	}()
	err = cmd.Wait()
	select {
	case <-drained:
	case <-time.After(outputGrace):
	}
	return output, cmd.ProcessState, err
}

// A tail keeps the last maxOutput bytes of what is written to it. It is safe for
// concurrent use.
type tail struct {
	mu   sync.Mutex
	kept []byte
	lost int64 // bytes before
}

// readFrom takes all that r has. That it cannot be read on is no matter: it is
// about output that somebody may want to see.
func (t *tail) readFrom(r *os.File) {
	buf := make([]byte, maxOutput)
	for {
		n, err := r.Read(buf)
		t.write(buf[:n])
		if err != nil {
			return
		}
	}
}

func (t *tail) write(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - maxOutput; extra > 0 {
		t.kept = t.kept[:copy(t.kept, t.kept[extra:])]
		t.lost += int64(extra)
	}
}

// lines returns the lines so far, without empty ones. If not all was kept, the
// first says so, and the second may lack its beginning.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	if t.lost > 0 {
		lines = append(lines, fmt.Sprintf("... (%d bytes)", t.lost))
	}
	for line := range strings.Lines(string(t.kept)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
