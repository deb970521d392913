package stream

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOptions: the kernel queues little, and gives up what is dead, at both ends.
func TestOptions(t *testing.T) {
	l := listenTCP(t)
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			accepted <- c
		}
		close(accepted)
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	other, ok := <-accepted
	if !ok {
		t.Fatal("nothing is accepted")
	}
	defer other.Close()
	for _, c := range []net.Conn{conn, other} {
		setOptions(c)
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []struct {
			name        string
			level, opt  int
			least, most int
		}{
			{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, 1},
			{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 10000, 10000},
			{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent, notSent},
			{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, 1},
			{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, 64 << 10, 2 * kernelBuffer},
			{"SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, 64 << 10, 2 * kernelBuffer},
		} {
			raw.Control(func(fd uintptr) {
				got, err := unix.GetsockoptInt(int(fd), o.level, o.opt)
				if err != nil || got < o.least || got > o.most {
					t.Errorf("%s is %d, %v, want %d to %d", o.name, got, err, o.least, o.most)
				}
			})
		}
	}
	setOptions(&memConn{}) // is none of TCP
}
