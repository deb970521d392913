package conf

import (
	"slices"
	"strings"
	"testing"
)

func TestRegistry(t *testing.T) {
	seen := map[string]bool{}
	var order []string
	for _, k := range Keys() {
		if seen[k.Section+k.Name] {
			t.Errorf("[%s] %s is there twice", k.Section, k.Name)
		}
		seen[k.Section+k.Name] = true
		if len(order) == 0 || order[len(order)-1] != k.Section {
			order = append(order, k.Section)
		}
		if k.Type == "" || !strings.HasSuffix(k.Doc, ".") || len(k.Doc) < 20 {
			t.Errorf("%s is not described: type %q, %q", k.Name, k.Type, k.Doc)
		}
		if strings.Count(k.Doc, ". ") > 0 {
			t.Errorf("%s is described by more than one sentence", k.Name)
		}
		if k.Needed && k.Default != "" {
			t.Errorf("%s is needed and has a default", k.Name)
		}
		if k.Min != 0 && k.Type != TypeInteger {
			t.Errorf("%s has a least value and is no integer", k.Name)
		}
		if d := lookup(k.Section, k.Name); d == nil || (d.set == nil) != (k.Type == TypeCommand || k.Name == "server_host") {
			t.Errorf("%s cannot be set", k.Name)
		}
	}
	if !slices.Equal(order, sections[:]) {
		t.Errorf("sections in the order %v, want %v", order, sections)
	}
	if lookup(sectionVPN, "timeout") != nil {
		t.Error("timeout was found in [VPN]")
	}
}

// originalKeys are the keys of Campagnol 0.3.5.
const originalKeys = `local_host local_port server_host server_port tun_mtu interface use_local_addr
override_local_addr tun_device tap_id vpn_ip network certificate key ca_certificates
ca_certificates_dir crl_file verify_depth cipher_list fifo_size txqueue tun_one_queue
client_max_rate connection_max_rate timeout keepalive max_clients default_up default_down up down`

func TestOriginalKeys(t *testing.T) {
	original := strings.Fields(originalKeys)
	for _, k := range Keys() {
		if got, want := k.New, !slices.Contains(original, k.Name); got != want {
			t.Errorf("%s is new: %v, want %v", k.Name, got, want)
		}
	}
	for _, name := range original {
		if !slices.ContainsFunc(Keys(), func(k Key) bool { return k.Name == name }) {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestEverythingIsSet keeps the file of TestEverything complete.
func TestEverythingIsSet(t *testing.T) {
	f, _ := Parse("f", []byte(everything))
	for _, k := range Keys() {
		if f.Section(k.Section).Setting(k.Name) == nil {
			t.Errorf("[%s] %s is not in it", k.Section, k.Name)
		}
	}
}

func TestKeysIsACopy(t *testing.T) {
	Keys()[0].Name = "changed"
	if got := Keys()[0].Name; got == "changed" {
		t.Error("the caller of Keys can change the table")
	}
}

func TestHints(t *testing.T) {
	for name, want := range map[string]string{
		"local_port":          "a port is a whole number from 0 to 65535; the default is 0",
		"timeout":             "timeout is a whole number of at least 5 (seconds); the default is 120",
		"max_clients":         "max_clients is a whole number of at least 1; the default is 100",
		"client_max_rate":     "client_max_rate is a number of kB/s, which are 1000 bytes per second; 0 is no limit; the default is 0",
		"rdv_auth":            "write auto, yes or no; the default is auto",
		"ocsp":                "write no, yes or require; the default is no",
		"use_local_addr":      "write yes or no (on, off, true, false, 1 and 0 are understood too); the default is yes",
		"server_host":         "write an IPv4 address such as 192.0.2.1, or a name such as rdv.example.org",
		"vpn_ip":              "write an IPv4 address such as 10.9.0.1",
		"network":             "write an address, a slash and a length from 0 to 32, such as 10.9.0.0/24",
		"override_local_addr": "write an address, a space and a port, such as 192.0.2.5 4444",
		"certificate":         "write: certificate = path",
		"state_dir":           "write: state_dir = path; the default is /var/lib/campagnol",
	} {
		i := slices.IndexFunc(registry[:], func(d definition) bool { return d.Name == name })
		if got := registry[i].hint(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"server_port", "server_host", "timeout", "key"}
	for name, want := range map[string]string{
		"server_prot":                          "server_port",
		"serverport":                           "server_port",
		"SERVER-HOST":                          "server_host",
		"timeuot":                              "timeout",
		"keys":                                 "key",
		"eky":                                  "key",
		"port":                                 "",
		"":                                     "",
		"zzz":                                  "",
		strings.Repeat("server_port", 100_000): "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("nearest to %.40q: %q, want %q", name, got, want)
		}
	}
}

func TestSectionHint(t *testing.T) {
	if got, want := sectionHint("vpn_ip"), "write a line with [VPN] above it"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := sectionHint("nothing"); !strings.Contains(got, "[NETWORK]") {
		t.Errorf("got %q, want an example", got)
	}
}
