package conf

import (
	"slices"
	"strings"
	"testing"
)

func TestRDVDefaults(t *testing.T) {
	r := NewRDV()
	if r.Port != 57888 || r.MaxClients != 100 || r.Verbose != 0 || r.Daemon || r.PIDFile != "/var/run/campagnol_rdv.pid" {
		t.Errorf("got %+v", r)
	}
	if got := r.Warnings(); len(got) > 0 {
		t.Errorf("warnings %q, want none", got)
	}
}

func TestSetPort(t *testing.T) {
	for in, want := range map[string]uint16{
		"1": 1, "65535": 65535, "57888xyz": 57888, " 80": 80, "+80": 80, "0080": 80, "80.9": 80,
		// Refused: the port stays what it was.
		"0": 0, "-1": 0, "65536": 0, "": 0, "abc": 0, "0x50": 0, "4295025184": 0, "-18446744073709551615": 0,
	} {
		r := NewRDV()
		err := r.SetPort(in)
		if want == 0 {
			if err == nil || r.Port != 57888 {
				t.Errorf("%q: port %d, error %v, want it refused", in, r.Port, err)
			}
			continue
		}
		if err != nil || r.Port != want {
			t.Errorf("%q: port %d, error %v, want %d", in, r.Port, err, want)
		}
	}
	err := NewRDV().SetPort("70000")
	want := "\"70000\" is not a port number\nhint: a port is a whole number from 1 to 65535; the default is 57888"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestSetPorts: further ports are listened on as well; one that is given again is one.
func TestSetPorts(t *testing.T) {
	r := NewRDV()
	for _, p := range []string{"443", "443", "53", "57888", "53", "443x"} {
		if err := r.SetPort(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.SetPort("0"); err == nil {
		t.Error("port 0 is accepted behind others")
	}
	if want := []uint16{53, 57888}; r.Port != 443 || !slices.Equal(r.MorePorts, want) {
		t.Errorf("port %d and %v, want 443 and %v", r.Port, r.MorePorts, want)
	}
	if n := len(r.Warnings()); n != 1 {
		t.Errorf("%d warnings, want one for the text behind a number", n)
	}
}

func TestSetMaxClients(t *testing.T) {
	for in, want := range map[string]int{
		"0": 0, "1": 1, "250": 250, "5k": 5, " 7": 7, "2147483647": 2147483647,
		"-1": -1, "": -1, "many": -1, "2147483648": -1,
	} {
		r := NewRDV()
		err := r.SetMaxClients(in)
		if want == -1 {
			if err == nil || r.MaxClients != 100 || !strings.Contains(err.Error(), "\nhint: ") {
				t.Errorf("%q: %d clients, error %v, want it refused with a hint", in, r.MaxClients, err)
			}
			continue
		}
		if err != nil || r.MaxClients != want {
			t.Errorf("%q: %d clients, error %v, want %d", in, r.MaxClients, err, want)
		}
	}
}

func TestRDVWarnings(t *testing.T) {
	r := NewRDV()
	for _, err := range []error{r.SetPort("80 "), r.SetPort("80x"), r.SetMaxClients("5.9")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		`the port "80x" is taken as 80; "x" is ignored`,
		`the number of clients "5.9" is taken as 5; ".9" is ignored`,
	}
	if got := r.Warnings(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
