package relay

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Lifetime is how long credentials are good.
const Lifetime = time.Hour

// maxUser is the length of the longest user name that is looked at.
const maxUser = 64

// A Secret makes and checks credentials, without keeping any: the password is a MAC of
// the user name, and the user name says until when it counts, and for whom. It is what
// is known as the REST API for TURN. It does not change, and is safe for concurrent
// use.
type Secret struct{ key [32]byte }

// NewSecret returns a secret of its own: what others have issued does not count.
func NewSecret() *Secret {
	s := new(Secret)
	rand.Read(s.key[:]) // it never fails: see package crypto/rand
	return s
}

// Issue returns credentials for a member, which is known by a VPN address.
func (s *Secret) Issue(now time.Time, vpn netip.Addr) (user, password string) {
	user = strconv.FormatInt(now.Add(Lifetime).Unix(), 10) + ":" + vpn.Unmap().String()
	return user, s.password(user)
}

// Check returns whose a user name is, and the password that belongs to it; false if it
// is none, or its time is over. Whoever shows it need not know the password.
func (s *Secret) Check(now time.Time, user string) (vpn netip.Addr, password string, ok bool) {
	if len(user) > maxUser {
		return netip.Addr{}, "", false
	}
	end, name, found := strings.Cut(user, ":")
	until, err := strconv.ParseInt(end, 10, 64)
	if !found || err != nil || now.Unix() >= until {
		return netip.Addr{}, "", false
	}
	vpn, err = netip.ParseAddr(name)
	if err != nil || vpn.Zone() != "" {
		return netip.Addr{}, "", false
	}
	return vpn, s.password(user), true
}

func (s *Secret) password(user string) string {
	mac := hmac.New(sha256.New, s.key[:])
	mac.Write([]byte(user))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
