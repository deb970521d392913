package probe

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"campagnol/punch"
	"campagnol/rdv"
	"campagnol/rdv/wire"
)

// A warped is a server's socket that changes what comes in and goes out. Both
// functions get a datagram of their own and return what takes its place.
type warped struct {
	punch.Conn
	in, out func(punch.Datagram) []punch.Datagram
}

func (w warped) Receive() ([]punch.Datagram, error) {
	for {
		ds, err := w.Conn.Receive()
		if err != nil {
			return nil, err
		}
		if ds = apply(w.in, ds); len(ds) > 0 {
			return ds, nil
		}
	}
}

func (w warped) Send(ds []punch.Datagram) error { return w.Conn.Send(apply(w.out, ds)) }

func apply(f func(punch.Datagram) []punch.Datagram, ds []punch.Datagram) (changed []punch.Datagram) {
	for _, d := range ds {
		if d.Data = bytes.Clone(d.Data); f != nil {
			changed = append(changed, f(d)...)
		} else {
			changed = append(changed, d)
		}
	}
	return changed
}

// A mutant is a server of ours with one fault.
type mutant struct {
	name string
	warp func(punch.Conn) punch.Conn
}

// faulty returns a mutant that does f to the messages of one type that come in
// or go out. A PING that no client sends is spared: the bystander needs it.
func faulty(name string, outgoing bool, typ byte, f func(punch.Datagram) []punch.Datagram) mutant {
	g := func(d punch.Datagram) []punch.Datagram {
		if len(d.Data) > 0 && d.Data[0] == typ {
			return f(d)
		}
		return []punch.Datagram{d}
	}
	return mutant{name, func(c punch.Conn) punch.Conn {
		if outgoing {
			return warped{Conn: c, out: g}
		}
		return warped{Conn: c, in: g}
	}}
}

// mutants are servers with a fault in one message.
func mutants() []mutant {
	lost := func(punch.Datagram) []punch.Datagram { return nil }
	twice := func(d punch.Datagram) []punch.Datagram { return []punch.Datagram{d, d} }
	longer := func(d punch.Datagram) []punch.Datagram {
		d.Data = append(d.Data, 0)
		return []punch.Datagram{d}
	}
	all := []mutant{{"perfect", func(c punch.Conn) punch.Conn { return c }}}
	for typ, name := range names {
		switch name {
		case "PONG", "OK", "NOK", "FWD", "ANS", "REJ", "RECONNECT":
			all = append(all,
				faulty(name+" is not sent", true, byte(typ), lost),
				faulty(name+" is sent twice", true, byte(typ), twice),
				faulty(name+" is too long", true, byte(typ), longer))
			for i := range messageSize {
				all = append(all, faulty(fmt.Sprintf("%s with a wrong byte %d", name, i), true, byte(typ),
					func(d punch.Datagram) []punch.Datagram {
						d.Data[i] ^= 0x40
						return []punch.Datagram{d}
					}))
			}
		case "HELLO", "ASK", "BYE", "CLOSE":
			all = append(all, faulty(name+" is not heard", false, byte(typ), lost))
		}
	}
	return append(all, oddMutants()...)
}

// oddMutants are servers with other faults.
func oddMutants() []mutant {
	elsewhere := netip.MustParseAddrPort("203.0.113.22:1")
	return []mutant{
		faulty("ASK is a sign of life", false, 2, func(d punch.Datagram) []punch.Datagram {
			alive := d
			alive.Data = bytes.Clone(d.Data)
			alive.Data[0] = 1 // whose PONG is one too many, too
			return []punch.Datagram{alive, d}
		}),
		faulty("fields of HELLO are swapped", false, 0, func(d punch.Datagram) []punch.Datagram {
			copy(d.Data[3:], append(bytes.Clone(d.Data[7:11]), d.Data[3:7]...))
			return []punch.Datagram{d}
		}),
		faulty("local addresses are ignored", false, 0, func(d punch.Datagram) []punch.Datagram {
			clear(d.Data[1:3])
			return []punch.Datagram{d}
		}),
		faulty("everybody has a local address", false, 0, func(d punch.Datagram) []punch.Datagram {
			copy(d.Data[1:], []byte{1, 2})
			copy(d.Data[7:], []byte{192, 168, 0, 1})
			return []punch.Datagram{d}
		}),
		faulty("FWD goes to somebody else", true, 6, func(d punch.Datagram) []punch.Datagram {
			d.Addr = elsewhere
			return []punch.Datagram{d}
		}),
		faulty("FWD says the same as ANS", true, 6, func(d punch.Datagram) []punch.Datagram {
			copy(d.Data[1:7], []byte{0x12, 0x34, 203, 0, 113, 21})
			return []punch.Datagram{d}
		}),
		{"long datagrams are cut", func(c punch.Conn) punch.Conn {
			return warped{Conn: c, in: func(d punch.Datagram) []punch.Datagram {
				d.Data = d.Data[:min(len(d.Data), messageSize)]
				return []punch.Datagram{d}
			}}
		}},
		{"short datagrams are filled up", func(c punch.Conn) punch.Conn {
			return warped{Conn: c, in: func(d punch.Datagram) []punch.Datagram {
				d.Data = append(d.Data, make([]byte, max(0, messageSize-len(d.Data)))...)
				return []punch.Datagram{d}
			}}
		}},
		{"all types are those of 4 bits", func(c punch.Conn) punch.Conn {
			return warped{Conn: c, in: func(d punch.Datagram) []punch.Datagram {
				if len(d.Data) > 0 {
					d.Data[0] &= 15
				}
				return []punch.Datagram{d}
			}}
		}},
	}
}

// TestMutants checks that the checks find each fault, and none in a server that
// has none.
func TestMutants(t *testing.T) {
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) {
			serve := func(t *testing.T, conn punch.Conn, limit int) { ours(t, m.warp(conn), limit) }
			found := slices.ContainsFunc(Checks(), func(c Check) bool { return simulate(t, serve, false, c) != nil })
			if want := m.name != "perfect"; found != want {
				t.Errorf("a fault is found: %v, want %v", found, want)
			}
		})
	}
}

// paced is a server of ours whose clock goes faster than others.
func paced(factor float64) server {
	return func(t *testing.T, conn punch.Conn, limit int) {
		start := time.Now()
		reg := rdv.NewRegistry(rdv.RegistryConfig{MaxClients: limit})
		for {
			ds, err := conn.Receive()
			if err != nil {
				return
			}
			now := start.Add(time.Duration(factor * float64(time.Since(start))))
			for _, d := range ds {
				m, err := wire.Parse(d.Data)
				if err != nil {
					continue
				}
				for _, o := range reg.Handle(now, rdv.In{From: d.Addr, Local: d.Local, Msg: m}, nil) {
					if err := conn.Send([]punch.Datagram{{Addr: o.To, Local: o.Local, Data: o.Msg.Append(nil)}}); err != nil {
						t.Error(err)
					}
				}
			}
		}
	}
}

// TestClocks checks that the checks find a clock that goes wrong.
func TestClocks(t *testing.T) {
	for factor, want := range map[float64]bool{1: false, 0.97: false, 1.03: false, 0.8: true, 1.25: true} {
		found := slices.ContainsFunc(Checks(), func(c Check) bool { return simulate(t, paced(factor), false, c) != nil })
		if found != want {
			t.Errorf("a clock that goes %v times as fast is found: %v, want %v", factor, found, want)
		}
	}
}

// TestSlowServer has a server that is too slow for checks with times, and one
// that is not.
func TestSlowServer(t *testing.T) {
	slow := func(delay time.Duration) server {
		return func(t *testing.T, conn punch.Conn, limit int) {
			ours(t, warped{Conn: conn, out: func(d punch.Datagram) []punch.Datagram {
				time.Sleep(delay)
				return []punch.Datagram{d}
			}}, limit)
		}
	}
	timed := find(t, "silence of less than 10 s")
	if err := simulate(t, slow(slack/2-10*time.Millisecond), false, timed); err != nil {
		t.Errorf("a server that is a bit slow: %v", err)
	}
	if err := simulate(t, slow(slack), false, timed); !errors.Is(err, errLate) {
		t.Errorf("a server that is very slow: %v, want %v", err, errLate)
	}
	if err := simulate(t, slow(slack), false, find(t, "PING")); err != nil {
		t.Errorf("a check without times on a slow server: %v", err)
	}
}

// find returns the check of that name.
func find(t *testing.T, name string) Check {
	t.Helper()
	checks := Checks()
	i := slices.IndexFunc(checks, func(c Check) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("there is no check %q", name)
	}
	return checks[i]
}
