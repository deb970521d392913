package cipherlist

import "strings"

// Traits are what a cipher suite is made of: for every kind of trait below, a
// bit. As the meaning of a name in a list, they say which suites it stands for:
// for every kind the bits of which a suite has to have one, where none means
// that it does not matter.
type traits [numKinds]uint32

// The kinds of traits.
const (
	kx       = iota // key exchange
	auth            // authentication
	enc             // encryption
	mac             // integrity
	version         // the first version of the protocol that has the suite
	strength        // class of strength
	standing        // whether DEFAULT leaves the suite out
	numKinds
)

// Key exchanges.
const (
	kRSA uint32 = 1 << iota
	kDHE
	kECDHE
	kDHrsa // fixed DH, in a certificate signed with RSA
	kDHdss
	kECDHrsa // fixed ECDH, in a certificate signed with RSA
	kECDHecdsa
	kPSK
	kRSAPSK
	kDHEPSK
	kECDHEPSK
	kSRP
	kKRB5
	kGOST
	kGOST18
)

// Kinds of authentication.
const (
	aRSA uint32 = 1 << iota
	aDSS
	aECDSA
	aDH
	aECDH
	aPSK
	aSRP
	aKRB5
	aGOST94
	aGOST01
	aGOST12
	aNULL // none
)

// Ciphers.
const (
	eAES128 uint32 = 1 << iota // in CBC mode, as all without a mode
	eAES256
	eAES128GCM
	eAES256GCM
	eAES128CCM
	eAES256CCM
	eAES128CCM8
	eAES256CCM8
	eARIA128GCM
	eARIA256GCM
	eCamellia128
	eCamellia256
	eChaCha20
	e3DES
	eDES
	eIDEA
	eRC2
	eRC4
	eSEED
	eGOST89
	eMagma
	eKuznyechik
	eNULL // none

	eGCM      = eAES128GCM | eAES256GCM
	eCCM8     = eAES128CCM8 | eAES256CCM8
	eCCM      = eAES128CCM | eAES256CCM | eCCM8
	eAES      = eAES128 | eAES256 | eGCM | eCCM
	eARIA     = eARIA128GCM | eARIA256GCM
	eCamellia = eCamellia128 | eCamellia256
	eOutdated = e3DES | eDES | eIDEA | eRC2 | eRC4 | eSEED
	eCBC      = eAES128 | eAES256 | eCamellia | e3DES | eDES | eIDEA | eRC2 | eSEED
)

// Message authentication codes.
const (
	mMD5 uint32 = 1 << iota
	mSHA1
	mSHA256
	mSHA384
	mAEAD // the cipher's own
	mGOST94
	mGOST12
	mGOST89MAC
	mMagmaOMAC
	mKuznyechikOMAC
)

// Versions of the protocol.
const (
	ssl3 uint32 = 1 << iota
	tls1
	tls12
)

// Classes of strength.
const (
	sNone uint32 = 1 << iota // no encryption
	sExport40
	sExport56
	sLow
	sMedium
	sHigh
	sFIPS // beside one of the others
)

// notDefault is the standing of what ALL has and DEFAULT has not. Every suite
// has a standing, so that a name can ask for this one.
const (
	notDefault uint32 = 1 << iota
	byDefault
)

// A suite is a cipher suite that OpenSSL knows or has known.
type suite struct {
	id      uint16
	name    string // OpenSSL's
	iana    string // as registered; "": not at all
	kx      uint32
	auth    uint32
	enc     uint32
	mac     uint32
	version uint32
}

func (s *suite) traits() traits {
	t := traits{
		kx: s.kx, auth: s.auth, enc: s.enc, mac: s.mac,
		version: s.version, strength: s.strength(), standing: byDefault,
	}
	weak := eCCM | eARIA | eCamellia | eOutdated
	if s.enc != eNULL && (s.auth&(aNULL|aDSS) != 0 || s.enc&weak != 0) {
		t[standing] = notDefault
	}
	return t
}

// strength returns the classes of strength that s belongs to.
func (s *suite) strength() uint32 {
	var fips uint32
	if s.enc&(eAES128|eAES256|eGCM|e3DES) != 0 && s.kx != kSRP {
		fips = sFIPS
	}
	switch {
	case strings.HasPrefix(s.name, "EXP1024-"):
		return sExport56
	case strings.HasPrefix(s.name, "EXP-"):
		return sExport40
	case s.enc == eNULL:
		return sNone
	case s.enc == eDES:
		return sLow
	case s.enc&eOutdated != 0:
		return sMedium | fips
	}
	return sHigh | fips
}

// keyLengths are the lengths of keys, in bits, in the order of @STRENGTH.
var keyLengths = [...]int{256, 128, 112, 56, 40, 0}

// bits returns the length of the key of s's cipher, one of keyLengths.
func (s *suite) bits() int {
	switch {
	case s.enc == eNULL:
		return 0
	case s.strength()&sExport40 != 0:
		return 40
	case s.strength()&(sExport56|sLow) != 0:
		return 56
	case s.enc == e3DES:
		return 112 // what a meet in the middle leaves of 168
	case s.enc&(eAES256|eAES256GCM|eAES256CCM|eAES256CCM8|eARIA256GCM|eCamellia256|eChaCha20|eGOST89|eMagma|eKuznyechik) != 0:
		return 256
	}
	return 128
}

// has reports whether a suite with the traits t is one of those that want
// stands for.
func (t traits) has(want traits) bool {
	for i := range t {
		if want[i] != 0 && want[i]&t[i] == 0 {
			return false
		}
	}
	return true
}

// and returns what stands for the suites of both t and u, and whether there can
// be any.
func (t traits) and(u traits) (both traits, ok bool) {
	for i := range t {
		switch {
		case t[i] == 0:
			both[i] = u[i]
		case u[i] == 0:
			both[i] = t[i]
		default:
			both[i] = t[i] & u[i]
			if both[i] == 0 {
				return both, false
			}
		}
	}
	return both, true
}
