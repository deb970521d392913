package ca

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"campagnol/pki"
	"campagnol/pki/enroll"
)

// killServiceVariable is killVariable for a program that enrols hosts.
const killServiceVariable = "CAMPAGNOL_TEST_KILL_SERVICE"

// serviceVictim invites hosts and enrols them for ever. It says what it is about
// to do: token and key are on record before the token is used.
func serviceVictim(dir string) error {
	c, err := Open(dir, Files{})
	if err != nil {
		return err
	}
	s, err := OpenService(dir, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		_, token, err := c.Invite(now, rand.Reader, InviteOptions{Name: fmt.Sprintf("p%d-%d", os.Getpid(), i)})
		if err != nil {
			return err
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		raw, err := key.Bytes()
		if err != nil {
			return err
		}
		fmt.Printf("%v %x\n", token, raw)
		e, err := enroll.NewEnrolment(rand.Reader, token, key)
		if err != nil {
			return err
		}
		// The limiter is not what this is about.
		if _, err := run(s, now.Add(time.Duration(i)*time.Second), somewhere, e); err != nil {
			return err
		}
	}
}

// TestKillService kills a service at any moment. A thief of the token that was in
// use gets nothing if the host was first, and the host gets one certificate.
func TestKillService(t *testing.T) {
	c := newVPN(t)
	thefts := 0
	for range 6 {
		text, raw := killService(t, c.Dir, time.Duration(20+mathrand.IntN(60))*time.Millisecond)
		token, err := enroll.ParseToken(text)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
		if err != nil {
			t.Fatal(err)
		}
		thief, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := newService(t, c)
		i, err := c.readInvitation(token.ID)
		if err != nil {
			t.Fatal(err)
		}
		if i.State(now) == InvitationUsed {
			thefts++
			_, err := enrol(t, s, now, token, thief)
			wantRefusal(t, err, enroll.Used)
		}
		first, err := enrol(t, s, now, token, key)
		if err != nil {
			t.Fatal(err)
		}
		second, err := enrol(t, s, now.Add(2*answerLife), token, key)
		if err != nil || !second.Chain[0].Equal(first.Chain[0]) {
			t.Errorf("the certificate changes: %v", err)
		}
		list, err := c.Show(now, i.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			if d.Cert != nil && d.KeyID != pki.KeyOf(first.Chain[0]) {
				t.Errorf("%s has a certificate for another key", i.Name)
			}
		}
	}
	if thefts == 0 {
		t.Log("no service was killed with a token in use")
	}
	checkWhole(t, c)
}

// killService runs a victim, kills it, and returns the last token and its key.
func killService(t *testing.T, dir string, after time.Duration) (token string, key []byte) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), killServiceVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if n == 0 { // count from when it works
			time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
		var text string
		var raw []byte
		// A line that is cut off is about a token that was not used yet.
		if _, err := fmt.Sscanf(lines.Text(), "%s %x", &text, &raw); err == nil && len(raw) == 32 {
			token, key = text, raw
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("the service ended before it was killed: %v", err)
	}
	return token, key
}
