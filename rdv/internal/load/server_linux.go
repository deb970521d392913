package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	startPatience = 10 * time.Second // until a server listens
	stopPatience  = 5 * time.Second  // until it has ended
)

// A Server is a running campagnol_rdv. It is safe for concurrent use.
type Server struct {
	cmd  *exec.Cmd
	addr netip.AddrPort

	stop func() error // ends it, once
}

// StartServer starts the program at path on a free port, for any number of
// clients, and waits until it listens. It runs on processor cpu, or wherever it
// likes if cpu is negative. args are more options.
func StartServer(ctx context.Context, path string, cpu int, args ...string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)}
	s.cmd = exec.Command(path, append([]string{"-m", "0", "-p", strconv.Itoa(int(port))}, args...)...)
	s.cmd.Stderr = os.Stderr
	s.stop = sync.OnceValue(s.end)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("load: start %s: %w", path, err)
	}
	if err := onCPU(cpu, s.cmd.Start); err != nil {
		return nil, fmt.Errorf("load: start %s: %w", path, err)
	}
	listens := make(chan bool, 1)
	go func() { // ends with the process, which Stop ends
		lines := bufio.NewScanner(out)
		listens <- lines.Scan() // its first line says so
		for lines.Scan() {
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	select {
	case ok := <-listens:
		if ok {
			return s, nil
		}
		err = errors.New("it ended at once")
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(fmt.Errorf("load: start %s: %w", path, err), s.Stop())
}

// freePort returns a UDP port that nobody uses at the moment.
func freePort() (uint16, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		return 0, fmt.Errorf("load: find a free port: %w", err)
	}
	defer conn.Close()
	return uint16(conn.LocalAddr().(*net.UDPAddr).Port), nil
}

// onCPU calls fn on one processor. What fn starts stays there.
func onCPU(cpu int, fn func() error) error {
	if cpu < 0 {
		return fn()
	}
	runtime.LockOSThread()
	before, err := affinity(0)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		// A thread that cannot go back ends with its goroutine.
		if unix.SchedSetaffinity(0, &before) == nil {
			runtime.UnlockOSThread()
		}
	}()
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("run on processor %d: %w", cpu, err)
	}
	return fn()
}

// Addr returns where the server is.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Stop ends the server and waits for its end.
func (s *Server) Stop() error { return s.stop() }

func (s *Server) end() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	kill := time.AfterFunc(stopPatience, func() { _ = s.cmd.Process.Kill() })
	defer kill.Stop()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("load: the server ended: %w", err)
	}
	return nil
}

// Usage reads what the server has used since its start.
func (s *Server) Usage() (Usage, error) {
	dir := "/proc/" + strconv.Itoa(s.cmd.Process.Pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return Usage{}, fmt.Errorf("load: %w", err)
	}
	u, err := parseStat(string(stat), int64(os.Getpagesize()))
	if err != nil {
		return Usage{}, fmt.Errorf("load: %s/stat: %w", dir, err)
	}
	for _, file := range []string{"/proc/net/udp6", "/proc/net/udp"} { // one socket serves both families, if it can
		var sockets []byte
		if sockets, err = os.ReadFile(file); err != nil {
			continue
		}
		if u.Dropped, err = parseDrops(string(sockets), s.addr.Port()); err == nil {
			return u, nil
		}
		err = fmt.Errorf("%s: %w", file, err)
	}
	return Usage{}, fmt.Errorf("load: %w", err)
}

// clockTick is the unit of times in /proc (USER_HZ, the same on all kernels).
const clockTick = 10 * time.Millisecond

// parseStat reads a /proc/PID/stat; see proc_pid_stat(5).
func parseStat(s string, page int64) (Usage, error) {
	// The second field is the program's name in parentheses. It may contain
	// anything.
	fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	const utime, stime, rss = 14 - 3, 15 - 3, 24 - 3 // the first here is number 3
	if len(fields) <= rss {
		return Usage{}, fmt.Errorf("%d fields are too few", len(fields))
	}
	var v [3]int64
	for i, field := range []int{utime, stime, rss} {
		var err error
		if v[i], err = strconv.ParseInt(fields[field], 10, 64); err != nil {
			return Usage{}, err
		}
	}
	return Usage{User: time.Duration(v[0]) * clockTick, System: time.Duration(v[1]) * clockTick, RSS: v[2] * page}, nil
}

// parseDrops finds in a /proc/net/udp or udp6 how many datagrams were dropped at a port
// that is bound for all addresses.
func parseDrops(s string, port uint16) (uint64, error) {
	want := fmt.Sprintf("00000000:%04X", port)
	for line := range strings.Lines(s) {
		if fields := strings.Fields(line); len(fields) > 2 && strings.TrimLeft(fields[1], "0") == strings.TrimLeft(want, "0") {
			return strconv.ParseUint(fields[len(fields)-1], 10, 64)
		}
	}
	return 0, fmt.Errorf("no socket at %s", want)
}
