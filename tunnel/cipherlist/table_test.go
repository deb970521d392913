package cipherlist

import (
	"slices"
	"strings"
	"testing"

	"campagnol/tunnel/record"
)

func TestTable(t *testing.T) {
	names := map[string]uint16{}
	for i := range suites {
		s := &suites[i]
		if i > 0 && suites[i-1].id >= s.id {
			t.Errorf("%s (%#04x) does not come in the order of numbers", s.name, s.id)
		}
		for _, name := range []string{s.name, s.iana} {
			if other, taken := names[name]; taken && name != "" {
				t.Errorf("%q is the name of %#04x and %#04x", name, other, s.id)
			}
			names[name] = s.id
			if name != "" && nameLen(name) != len(name) {
				t.Errorf("%q cannot be written in a list", name)
			}
			if len(name) > maxName {
				t.Errorf("%q is longer than maxName", name)
			}
		}
		if !slices.Contains(keyLengths[:], s.bits()) {
			t.Errorf("%s: @STRENGTH does not know keys of %d bits", s.name, s.bits())
		}
		for kind, bits := range s.traits() {
			if bits == 0 {
				t.Errorf("%s has no trait of kind %d, which would be any", s.name, kind)
			}
		}
	}
	for _, ours := range record.Suites() {
		i, ok := slices.BinarySearchFunc(suites[:], uint16(ours), func(s suite, id uint16) int { return int(s.id) - int(id) })
		if !ok || suites[i].name != ours.String() {
			t.Errorf("the table has another suite for %v", ours)
		}
	}
}

// TestTraits reads the traits of every suite from its registered name, which
// was not their source.
func TestTraits(t *testing.T) {
	exchanges := map[string][2]uint32{
		"RSA": {kRSA, aRSA}, "DH_RSA": {kDHrsa, aDH}, "DH_DSS": {kDHdss, aDH}, "DHE_RSA": {kDHE, aRSA}, "DHE_DSS": {kDHE, aDSS},
		"DH_anon": {kDHE, aNULL}, "ECDH_anon": {kECDHE, aNULL}, "ECDH_RSA": {kECDHrsa, aECDH}, "ECDH_ECDSA": {kECDHecdsa, aECDH},
		"ECDHE_RSA": {kECDHE, aRSA}, "ECDHE_ECDSA": {kECDHE, aECDSA}, "PSK": {kPSK, aPSK}, "RSA_PSK": {kRSAPSK, aRSA},
		"DHE_PSK": {kDHEPSK, aPSK}, "PSK_DHE": {kDHEPSK, aPSK}, "ECDHE_PSK": {kECDHEPSK, aPSK}, "KRB5": {kKRB5, aKRB5},
		"SRP_SHA": {kSRP, aSRP}, "SRP_SHA_RSA": {kSRP, aRSA}, "SRP_SHA_DSS": {kSRP, aDSS},
		"GOSTR341094": {kGOST, aGOST94}, "GOSTR341001": {kGOST, aGOST01}, "GOSTR341112_256": {kGOST, aGOST12},
	}
	ciphers := map[string]struct {
		enc  uint32
		bits int
	}{
		"NULL": {eNULL, 0}, "RC4_40": {eRC4, 40}, "RC4_56": {eRC4, 56}, "RC4_128": {eRC4, 128}, "RC2_CBC_40": {eRC2, 40},
		"DES40_CBC": {eDES, 40}, "DES_CBC_40": {eDES, 40}, "DES_CBC": {eDES, 56}, "3DES_EDE_CBC": {e3DES, 112},
		"IDEA_CBC": {eIDEA, 128}, "SEED_CBC": {eSEED, 128}, "CHACHA20_POLY1305": {eChaCha20, 256},
		"AES_128_CBC": {eAES128, 128}, "AES_128_GCM": {eAES128GCM, 128}, "AES_128_CCM": {eAES128CCM, 128}, "AES_128_CCM_8": {eAES128CCM8, 128},
		"AES_256_CBC": {eAES256, 256}, "AES_256_GCM": {eAES256GCM, 256}, "AES_256_CCM": {eAES256CCM, 256}, "AES_256_CCM_8": {eAES256CCM8, 256},
		"ARIA_128_GCM": {eARIA128GCM, 128}, "ARIA_256_GCM": {eARIA256GCM, 256},
		"CAMELLIA_128_CBC": {eCamellia128, 128}, "CAMELLIA_256_CBC": {eCamellia256, 256},
		"28147_CNT": {eGOST89, 256}, "KUZNYECHIK_CTR": {eKuznyechik, 256}, "MAGMA_CTR": {eMagma, 256},
	}
	macs := map[string]uint32{"MD5": mMD5, "SHA": mSHA1, "SHA256": mSHA256, "SHA384": mSHA384, "IMIT": mGOST89MAC, "GOSTR3411": mGOST94}
	for i := range suites {
		s := &suites[i]
		if s.iana == "" {
			continue
		}
		how, what, _ := strings.Cut(strings.TrimPrefix(s.iana, "TLS_"), "_WITH_")
		how, export := strings.CutSuffix(strings.TrimSuffix(how, "1024"), "_EXPORT")
		exchange, ok := exchanges[how]
		if s.kx == kGOST18 {
			exchange[0] = kGOST18
		}
		if !ok || exchange != [2]uint32{s.kx, s.auth} {
			t.Errorf("%s: key exchange %#x and authentication %#x, against its name", s.iana, s.kx, s.auth)
		}
		cipher, hash := what, "AEAD"
		if !strings.HasSuffix(what, "_CCM") && !strings.HasSuffix(what, "_CCM_8") {
			cut := strings.LastIndexByte(what, '_')
			cipher, hash = what[:cut], what[cut+1:]
		}
		want, ok := ciphers[cipher]
		if !ok || want.enc != s.enc || want.bits != s.bits() {
			t.Errorf("%s: cipher %#x with keys of %d bits, against its name", s.iana, s.enc, s.bits())
		}
		wantMAC := macs[hash]
		switch {
		case s.enc&(eGCM|eCCM|eARIA|eChaCha20) != 0:
			wantMAC = mAEAD
		case s.enc == eMagma:
			wantMAC = mMagmaOMAC
		case s.enc == eKuznyechik:
			wantMAC = mKuznyechikOMAC
		}
		if wantMAC != s.mac {
			t.Errorf("%s: MAC %#x, want %#x", s.iana, s.mac, wantMAC)
		}
		if got := s.strength()&(sExport40|sExport56) != 0; got != export {
			t.Errorf("%s: export %v, against its name", s.iana, got)
		}
	}
}

// TestNames checks that each name stands for the suites that it should, where
// nothing else says so.
func TestNames(t *testing.T) {
	for name := range groups {
		if nameLen(name) != len(name) || len(name) > maxName {
			t.Errorf("%q cannot be written in a list", name)
		}
		if !cover(names()[name]).any {
			t.Errorf("%s stands for nothing", name)
		}
	}
	for name := range notes {
		if _, ok := names()[name]; ok {
			t.Errorf("%s stands for something; its note is never shown", name)
		}
	}
	for old, name := range oldNames {
		want, ok := names()[name]
		if got := names()[old]; !ok || got != want {
			t.Errorf("%s does not stand for %s", old, name)
		}
	}
	for _, c := range []struct {
		list, want string // a name, and a suite that it covers
	}{
		{"kDHr", "DH-RSA-DES-CBC-SHA"}, {"kDHd", "DH-DSS-AES128-SHA"}, {"kECDHr", "ECDH-RSA-NULL-SHA"}, {"kECDHe", "ECDH-ECDSA-AES128-SHA"},
		{"ECDH", "ECDH-RSA-AES128-SHA"}, {"ECDH", "AECDH-NULL-SHA"}, {"aGOST94", "GOST94-NULL-GOST94"}, {"aDH", "DH-DSS-AES128-SHA"},
		{"KRB5", "KRB5-RC4-MD5"}, {"EXPORT40", "EXP-RC4-MD5"}, {"EXPORT56", "EXP1024-RC4-SHA"}, {"LOW", "DES-CBC-SHA"}, {"MEDIUM", "SEED-SHA"},
		{"MEDIUM", "DES-CBC3-SHA"}, {"DES", "EXP-DES-CBC-SHA"}, {"RC2", "EXP-RC2-CBC-MD5"}, {"GOST89MAC", "GOST2001-GOST89-GOST89"},
	} {
		if !names()[c.want].has(names()[c.list]) {
			t.Errorf("%s does not cover %s", c.list, c.want)
		}
	}
}

// TestReasons checks that we can say of every suite why we do not speak it, and
// only of those.
func TestReasons(t *testing.T) {
	for _, it := range naturalOrder() {
		r := reasonsOf(it.traits)
		if it.ours && r != otherAEAD {
			t.Errorf("%s, which we speak, would be refused for %q", it.suite.name, r.texts())
		}
		if !it.ours && len(r.texts()) == 0 {
			t.Errorf("%s would be refused for no reason", it.suite.name)
		}
	}
}
