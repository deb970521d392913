package conf

import (
	"reflect"
	"strings"
	"testing"
)

// withEthernet returns a good file with more lines in [ETHERNET], in tap mode.
func withEthernet(lines string) string {
	return minimal + "\n[NETWORK]\nmode = tap\n[ETHERNET]\n" + lines + "\n"
}

func TestEthernetValues(t *testing.T) {
	for _, c := range []struct {
		line string
		get  func(*Client) any
		want any
	}{
		{"mesh = FULL", func(c *Client) any { return c.Ethernet.FullMesh }, true},
		{"mesh = demand", func(c *Client) any { return c.Ethernet.FullMesh }, false},
		{"hardware_address = 02-00-00-00-00-aB", func(c *Client) any { return c.Ethernet.HardwareAddr.String() }, "02:00:00:00:00:ab"},
		{"vlans = ALL", func(c *Client) any { return c.Ethernet.VLANs }, []uint16(nil)},
		{"vlans = 4094", func(c *Client) any { return c.Ethernet.VLANs }, []uint16{4094}},
		{"vlans = 7 3-5,0, 4", func(c *Client) any { return c.Ethernet.VLANs }, []uint16{0, 3, 4, 5, 7}},
		{"unregistered_multicast = Drop", func(c *Client) any { return c.Ethernet.Unregistered }, "drop"},
		{"storm_rate = 0", func(c *Client) any { return c.Ethernet.StormRate }, 0},
		{"", func(c *Client) any { return c.TunMTU }, tapMTU},
		{"[NETWORK]\ntun_mtu = 1419", func(c *Client) any { return c.TunMTU }, 1419},
	} {
		t.Run(c.line, func(t *testing.T) {
			cfg, problems, err := ParseClient("f", []byte(withEthernet(c.line)))
			if err != nil || len(problems) > 0 {
				t.Fatalf("%v, problems:\n%s", err, list(problems))
			}
			if got := c.get(cfg); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestEthernetRefused(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"mesh = some", "write full or demand; the default is full"},
		{"unregistered_multicast = all", "write routers, flood or drop; the default is routers"},
		{"hardware_address = 02:00", "is not a hardware address"},
		{"hardware_address = 01:00:00:00:00:01", "is the address of a group"},
		{"hardware_address = 00:00:00:00:00:01", "only a manufacturer gives out"},
		{"hardware_address = 02:00:00:00:00:00:00:01", "is not a hardware address"},
		{"vlans = 4095", `"4095"`},
		{"vlans = 5-3", `"5-3"`},
		{"vlans = 1-", `"1-"`},
		{"vlans = ,", "names no VLAN"},
		{"vlans = -1", `"-1"`},
		{"max_macs = 0", "is too small"},
		{"storm_rate = -1", "is too small"},
		{"[NETWORK]\nmode = bridge", "write tun or tap; the default is tun"},
	} {
		t.Run(c.line, func(t *testing.T) {
			_, _, err := ParseClient("f", []byte(withEthernet(c.line)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestEthernetWithoutEffect: who sets the switch and forgets the mode is told.
func TestEthernetWithoutEffect(t *testing.T) {
	_, problems, err := ParseClient("f", []byte(minimal+"\n[ETHERNET]\nstp = yes\nmesh = full\n"))
	if err != nil || len(problems) != 2 || !strings.Contains(list(problems), "stp \"yes\" has no effect, because mode is tun") {
		t.Errorf("%v, problems:\n%s", err, list(problems))
	}
}
