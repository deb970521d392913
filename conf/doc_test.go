package conf_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"campagnol/conf"
)

const small = `[NETWORK]
server_host = 203.0.113.10
server_prot = 1234
[VPN]
vpn_ip = 10.9.0.3
network = 10.9.0.0/24
[SECURITY]
dir = /etc/campagnol
certificate = ${dir}/client.pem
key = ${dir}/client.key
ca_certificates = ${dir}/ca.pem
[CLIENT]
timeout = 1m
`

// What a program does with its file: it shows the problems, and ends if there
// is an error.
func ExampleParseClient() {
	_, problems, err := conf.ParseClient("campagnol.conf", []byte(small))
	for _, p := range problems {
		fmt.Printf("%s: %s\n", p.Severity, p)
	}
	fmt.Println(err)
	// Output:
	// warning: campagnol.conf:3:1: server_prot is not a key of [NETWORK]; it is not used
	// hint: did you mean server_port?
	// campagnol.conf:13:11: timeout "1m" is too small
	// hint: timeout is a whole number of at least 5 (seconds); the default is 120
}

func ExampleParse() {
	f, _ := conf.Parse("campagnol.conf", []byte(small))
	v := f.Section("SECURITY").Setting("key").Last()
	fmt.Println(v.KeyPos.Line, v.Raw, v.Expanded)
	// Output: 10 ${dir}/client.key /etc/campagnol/client.key
}

// The table of keys as a documentation would show it.
func ExampleKeys() {
	for _, k := range conf.Keys() {
		if k.Section == "CLIENT" && k.Type == conf.TypeInteger {
			fmt.Printf("%-16s at least %3d, default %q\n", k.Name, k.Min, k.Default)
		}
	}
	// Output:
	// fifo_size        at least   1, default "20"
	// txqueue          at least   1, default ""
	// timeout          at least   5, default "120"
	// max_clients      at least   1, default "100"
	// keepalive        at least   1, default "10"
	// hard_nat_sockets at least   1, default "256"
	// hard_nat_probes  at least   1, default "1400"
	// queues           at least   1, default "1"
}

func ExampleRDV() {
	r := conf.NewRDV()
	if err := r.SetPort("4000x"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(r.Port, r.MaxClients, r.Warnings())
	// Output: 4000 100 [the port "4000x" is taken as 4000; "x" is ignored]
}

// TestErrorIsProblem checks that a caller can tell an unusable file from one
// that cannot be read: the exit status differs.
func TestErrorIsProblem(t *testing.T) {
	var p conf.Problem
	_, _, err := conf.ParseClient("f", []byte(small))
	if !errors.As(err, &p) || p.Key != "timeout" || p.Severity != conf.Error {
		t.Errorf("got %v, want a Problem about timeout", err)
	}
	_, _, err = conf.LoadClient(t.TempDir() + "/none")
	if errors.As(err, &p) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want the error of the operating system", err)
	}
}

// BenchmarkParse parses a file of 100 kB. It shows when the parser's work is no
// longer proportional to its input.
func BenchmarkParse(b *testing.B) {
	src := []byte("[A]\n" + strings.Repeat("key = \"some \\x41 text\" and ${key} # more\n", 2500))
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		conf.Parse("f", src)
	}
}
