//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/pkitest"
	"campagnol/rdv/channel"
	"campagnol/tunnel/handshake"
	"campagnol/tunnel/record"
)

// say says something over a channel, and returns the answer.
func (c *client) say(r *handshake.Result, msg channel.Message) channel.Message {
	c.t.Helper()
	c.tell(r, msg)
	return c.message(r)
}

// tell says something over a channel.
func (c *client) tell(r *handshake.Result, msg channel.Message) {
	c.t.Helper()
	rec, err := r.Seal.Seal(nil, msg.Append(nil), record.ApplicationData, new(record.Scratch))
	if err != nil {
		c.t.Fatal(err)
	}
	c.conn.Write(rec)
}

// message returns the next message of the server.
func (c *client) message(r *handshake.Result) channel.Message {
	c.t.Helper()
	typ, payload := c.hear(r)
	m, err := channel.Parse(payload)
	if typ != record.ApplicationData || err != nil {
		c.t.Fatalf("record %d with %x, %v, want a message", typ, payload, err)
	}
	return m
}

// ended waits until the server closes the channel.
func (c *client) ended(r *handshake.Result) {
	c.t.Helper()
	for {
		if typ, payload := c.hear(r); typ == record.Alert && len(payload) == 2 && payload[1] == 0 {
			return
		}
	}
}

// TestWatchedList: a revocation list that is copied over the old one takes effect
// without a signal, and reaches the clients; one that cannot be read changes nothing.
func TestWatchedList(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	p := start(t, f.args("-v")...)
	c := dial(t, "", "127.0.0.1", p.port)
	keys := c.channel(f.alice)
	defer pings(c)()
	write := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(f.crl, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte("no list"))
	p.waitLine("Changed: " + f.crl)

	other := f.ca.Issue(t, "other")
	f.revoke(t, other.Cert)
	p.waitLine("read again")
	var m channel.Message
	for m.Type != channel.Notice {
		m = c.message(keys)
	}
	list := read(t, f.crl)
	if len(m.Objects) != 1 || m.Objects[0].Hash != sha256.Sum256(list) {
		t.Errorf("told of %+v", m.Objects)
	}
	c.tell(keys, channel.Message{Type: channel.Done, ID: m.ID})
	c.tell(keys, channel.Message{Type: channel.Fetch, ID: 9, Objects: m.Objects})
	for m.Type != channel.Chunk { // it may be told again
		m = c.message(keys)
	}
	if !bytes.Equal(m.Data, list) {
		t.Errorf("another list is handed out, with %d bytes", len(m.Data))
	}
	f.revoke(t, other.Cert, f.alice.Cert)
	c.ended(keys)
	p.waitLine("Channel with alice")
	p.signal(syscall.SIGTERM)
	p.wait()
	if got := p.stderr.String(); strings.Count(got, "nothing changes") != 1 || !strings.Contains(got, "crl_file") {
		t.Errorf("standard error %q", got)
	}
}

// pings keeps a client registered until the function that it returns is called.
func pings(c *client) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				c.conn.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// read returns the list in a PEM file, in DER.
func read(t *testing.T, path string) []byte {
	t.Helper()
	p, err := pki.LoadPolicy(pki.PolicyConfig{CAFile: filepath.Join(filepath.Dir(path), "ca.pem"), CRLFile: path}, time.Now())
	if err != nil || len(p.Lists()) != 1 {
		t.Fatalf("%s: %v", path, err)
	}
	return p.Lists()[0].Raw()
}

// TestAuthorityState has the authority register and offer a list, which is there after
// a restart of the server, and counts.
func TestAuthorityState(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	state := filepath.Join(f.dir, "state")
	args := []string{"-v", "--certificate", f.cert, "--key", f.key, "--ca", f.caFile, "--state", state}
	p := start(t, args...)
	authority := dial(t, "127.0.0.2", "127.0.0.1", p.port)
	leaf := f.ca.Issue(t, "trent", func(c *x509.Certificate) { c.URIs = append(c.URIs, pki.AuthorityURI()) })
	keys := authority.open(leaf)
	if m := authority.say(keys, channel.Message{Type: channel.Register, ID: 1}); m.Type != channel.Registered {
		t.Fatalf("REGISTER is answered with %+v", m)
	}
	list := f.ca.CRL(t, time.Now().Add(-time.Minute), time.Now().AddDate(1, 0, 0), f.alice.Cert)
	object := channel.Object{Kind: channel.CRL, Size: uint32(len(list)), Hash: sha256.Sum256(list)}
	if m := authority.say(keys, channel.Message{Type: channel.Notice, ID: 2, Objects: []channel.Object{object}}); m.Type != channel.Done {
		t.Fatalf("NOTICE is answered with %+v", m)
	}
	fetch := authority.message(keys)
	if fetch.Type != channel.Fetch || fetch.Offset != 0 {
		t.Fatalf("%+v, want FETCH", fetch)
	}
	authority.tell(keys, channel.Message{Type: channel.Chunk, ID: fetch.ID, Data: list})
	p.waitLine("There is a new revocation list from trent")
	waitUntil(t, "the list is kept", func() bool {
		files, _ := filepath.Glob(filepath.Join(state, "crl-*.der"))
		return len(files) == 1 && slices.Equal(content(files[0]), list)
	})
	p.signal(syscall.SIGTERM)
	p.wait()

	p = start(t, args...)
	p.waitLine("There is a new revocation list from the state directory")
	eve := f.ca.Issue(t, "eve", pkitest.Addrs("10.9.0.1"))
	if keys := dial(t, "127.0.0.3", "127.0.0.1", p.port).channel(eve); keys == nil {
		t.Error("who is not revoked gets no channel")
	}
	// Her side of the handshake may be over before she is refused.
	_, _ = dial(t, "127.0.0.4", "127.0.0.1", p.port).shake(f.alice)
	p.waitLine("revoked")
}

func content(path string) []byte {
	b, _ := os.ReadFile(path)
	return b
}

// TestStateRefused: a state directory that cannot be used is an error at the start.
func TestStateRefused(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	authority := f.ca.Issue(t, "both", func(c *x509.Certificate) {
		c.URIs = append(c.URIs, pki.RendezvousURI(), pki.AuthorityURI())
	})
	cert, key := authority.WriteFiles(t, f.dir)
	for _, c := range []struct {
		args []string
		want []string
	}{
		{f.args("--state", f.caFile), []string{"--state", f.caFile, "hint: "}},
		{[]string{"--state", f.dir}, []string{"without --certificate"}},
		{[]string{"--certificate", cert, "--key", key, "--ca", f.caFile}, []string{"VPN's authority", "campagnol:authority", "hint: "}},
	} {
		cmd := exec.Command(binary, c.args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err == nil {
			t.Errorf("%q starts", c.args)
		}
		for _, want := range c.want {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("%q: %q is missing in %q", c.args, want, &stderr)
			}
		}
	}
}

// TestFiles has which files are watched.
func TestFiles(t *testing.T) {
	a := authOptions{certificate: "c", key: "k", ca: "a", caDir: "d1" + string(filepath.ListSeparator) + "d2", crl: "r", policy: "p"}
	if got, want := a.files(), []string{"c", "k", "a", "r", "p", "d1", "d2"}; !slices.Equal(got, want) {
		t.Errorf("watched: %q, want %q", got, want)
	}
	if got := (&authOptions{}).files(); len(got) != 0 {
		t.Errorf("watched: %q, want none", got)
	}
}
