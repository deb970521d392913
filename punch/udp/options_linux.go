package udp

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setOptions prepares socket fd, before it is bound, to make use of want, and
// returns what it got.
func setOptions(fd uintptr, cfg Config, want Features) (Features, error) {
	s, serves := int(fd), cfg.families()
	if cfg.Device != "" {
		if err := unix.BindToDevice(s, cfg.Device); err != nil {
			return Features{}, deviceError(cfg, err)
		}
	}
	if cfg.Sockets > 1 {
		if err := unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return Features{}, &optionError{fmt.Sprintf("udp: listen on %v: share the port between %d sockets", cfg.Addr, cfg.Sockets), err}
		}
	}
	got := Features{
		IPv4: serves.ip4, IPv6: serves.ip6,
		// What the kernel says at the first use decides about these.
		RecvBatch: want.RecvBatch,
		SendBatch: want.SendBatch,
	}
	// A kernel that does not know UDP_SEGMENT ignores it in a control message
	// and would send one huge datagram; as an option it refuses it.
	got.GSO = want.GSO && unix.SetsockoptInt(s, unix.SOL_UDP, unix.UDP_SEGMENT, 0) == nil
	got.GRO = want.GRO && unix.SetsockoptInt(s, unix.SOL_UDP, unix.UDP_GRO, 1) == nil
	got.DontFragment = want.DontFragment && dontFragment(fd, serves) == nil
	got.ECN = want.ECN && serves.enable(s, unix.IP_RECVTOS, unix.IPV6_RECVTCLASS)
	got.ErrorQueue = want.ErrorQueue && serves.enable(s, unix.IP_RECVERR, unix.IPV6_RECVERR)
	if cfg.Addr.Addr().IsUnspecified() {
		// A socket for both families gets IPV6_PKTINFO for IPv4, too. With
		// IP_PKTINFO beside it, a datagram would cost a percent more.
		asked := families{ip4: !serves.ip6, ip6: serves.ip6}
		got.PacketInfo = want.PacketInfo && asked.enable(s, unix.IP_PKTINFO, unix.IPV6_RECVPKTINFO)
	} else {
		got.PacketInfo = true // there is one address only
	}
	got.RcvBuf = setBuffer(s, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, cfg.RcvBuf)
	got.SndBuf = setBuffer(s, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, cfg.SndBuf)
	return got, nil
}

// enable switches an option of socket fd on for each family of f: opt4 for IPv4,
// which a socket of IPv6 that serves both has beside its own, and opt6 for IPv6. It
// reports whether all went well.
func (f families) enable(fd, opt4, opt6 int) bool {
	if f.ip4 && unix.SetsockoptInt(fd, unix.IPPROTO_IP, opt4, 1) != nil {
		return false
	}
	return !f.ip6 || unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, opt6, 1) == nil
}

// setBuffer sets a buffer's size to n, past the system's limit if that is
// allowed, and returns the size that the kernel granted.
func setBuffer(fd, force, opt, n int) int {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, n) != nil {
		// Without CAP_NET_ADMIN the kernel grants up to net.core.rmem_max or
		// wmem_max and reports no error.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, n)
	}
	granted, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, opt)
	if err != nil {
		return 0
	}
	return granted / 2 // the kernel counts its own overhead double (socket(7))
}

func deviceError(cfg Config, err error) error {
	where := fmt.Sprintf("udp: listen on %v: bind to interface %q", cfg.Addr, cfg.Device)
	switch err {
	case unix.ENODEV:
		return &optionError{where + ": there is no such interface (`ip link` lists them)", err}
	case unix.EPERM:
		return &optionError{where + ": this needs root or CAP_NET_RAW", err}
	}
	return &optionError{where, err}
}

// logFeatures says once what addr's socket has to do without.
func logFeatures(log *slog.Logger, addr netip.AddrPort, cfg Config, f Features) {
	if missing := f.Missing(); missing != "" {
		log.Info("the kernel lacks socket features; slower ways are used",
			slog.Any("addr", addr), slog.String("missing", missing))
	}
	var small []string
	if f.RcvBuf < cfg.RcvBuf {
		small = append(small, fmt.Sprintf("net.core.rmem_max=%d", cfg.RcvBuf))
	}
	if f.SndBuf < cfg.SndBuf {
		small = append(small, fmt.Sprintf("net.core.wmem_max=%d", cfg.SndBuf))
	}
	if small != nil {
		log.Warn("the socket's buffers are smaller than wanted; bursts may be lost",
			slog.Any("addr", addr), slog.Int("rcvbuf", f.RcvBuf), slog.Int("sndbuf", f.SndBuf),
			slog.String("hint", "sysctl -w "+strings.Join(small, " ")+", or CAP_NET_ADMIN"))
	}
}

// kernelDrops returns how many datagrams the full receive buffer refused.
func kernelDrops(fd uintptr) uint64 {
	var info [unix.SK_MEMINFO_VARS]uint32
	n := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 || n < uint32(unsafe.Sizeof(info)) {
		return 0
	}
	return uint64(info[unix.SK_MEMINFO_DROPS])
}
