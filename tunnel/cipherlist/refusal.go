package cipherlist

import "slices"

// Reasons are why the record layer does not speak a suite: one bit each.
type reasons uint16

// The reasons, in the order in which they are told.
const (
	noEncryption reasons = 1 << iota
	noAuthentication
	noForwardSecrecy
	sharedSecret
	dsa
	gost
	outdatedCipher
	cbc
	sha1MAC
	md5MAC
	dhe
	otherAEAD
	numReasons = iota
)

// reasonTexts tell the reasons, for people.
var reasonTexts = [numReasons]string{
	"no encryption at all",
	"no authentication of the peer",
	"a key exchange without forward secrecy",
	"shared secrets instead of certificates",
	"DSA certificates",
	"GOST algorithms",
	"an outdated cipher",
	"CBC mode",
	"a SHA-1 MAC",
	"an MD5 MAC",
	"DHE instead of ECDHE",
	"an AEAD that is not spoken",
}

// reasonsOf returns why the record layer does not speak a suite with the traits
// t.
//
// Forward secrecy is what fixed keys cannot give: who gets one later can read
// all that was recorded before. CBC with an HMAC has been broken again and again
// by the time that its check takes. DHE gives what ECDHE gives, slower, and the
// library of our handshakes does not have it.
func reasonsOf(t traits) reasons {
	var r reasons
	has := func(kind int, bits uint32) bool { return t[kind]&bits != 0 }
	set := func(reason reasons, holds bool) {
		if holds {
			r |= reason
		}
	}
	if has(enc, eNULL) {
		return noEncryption // the rest would only distract
	}
	set(noAuthentication, has(auth, aNULL))
	set(noForwardSecrecy, has(kx, kRSA|kDHrsa|kDHdss|kECDHrsa|kECDHecdsa|kPSK|kRSAPSK|kKRB5|kGOST|kGOST18))
	set(sharedSecret, has(kx, kPSK|kRSAPSK|kDHEPSK|kECDHEPSK|kSRP|kKRB5))
	set(dsa, has(auth, aDSS))
	set(gost, has(kx, kGOST|kGOST18))
	set(outdatedCipher, has(enc, eOutdated))
	set(cbc, has(enc, eCBC))
	set(sha1MAC, has(mac, mSHA1))
	set(md5MAC, has(mac, mMD5))
	set(dhe, has(kx, kDHE|kDHEPSK))
	set(otherAEAD, r == 0 || has(enc, eCCM|eARIA))
	return r
}

// texts returns the texts of r.
func (r reasons) texts() []string {
	var texts []string
	for i, text := range reasonTexts {
		if r&(1<<i) != 0 {
			texts = append(texts, text)
		}
	}
	return texts
}

// Coverage is what a name, or several joined by "+", stands for.
type coverage struct {
	any     bool      // there are such suites
	ours    bool      // we speak one of them
	reasons []reasons // why we do not speak the others, each
}

// cover returns what want stands for.
func cover(want traits) coverage {
	var c coverage
	for _, it := range naturalOrder() {
		switch {
		case !it.traits.has(want):
		case it.ours:
			c.any, c.ours = true, true
		default:
			c.any = true
			c.reasons = append(c.reasons, reasonsOf(it.traits))
		}
	}
	return c
}

// why returns why we speak nothing of what is covered: all that holds for each
// suite that encrypts, or else few reasons of which one holds for each.
func (c coverage) why() string {
	rs := slices.DeleteFunc(slices.Clone(c.reasons), func(r reasons) bool { return r == noEncryption })
	if len(rs) == 0 {
		return enumerate(noEncryption.texts(), "")
	}
	common := ^reasons(0)
	for _, r := range rs {
		common &= r
	}
	if common != 0 {
		return enumerate(common.texts(), "and")
	}
	var some reasons
	for len(rs) > 0 {
		most := mostFrequent(rs)
		some |= most
		rs = slices.DeleteFunc(rs, func(r reasons) bool { return r&most != 0 })
	}
	return enumerate(some.texts(), "or")
}

// mostFrequent returns the reason that most of rs have, none of which is empty.
func mostFrequent(rs []reasons) reasons {
	var best reasons
	for i, most := 0, 0; i < numReasons; i++ {
		n := 0
		for _, r := range rs {
			if r&(1<<i) != 0 {
				n++
			}
		}
		if n > most {
			best, most = 1<<i, n
		}
	}
	return best
}
