package cipherlist

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"campagnol/internal/testenv"
	"campagnol/tunnel/record"
)

// These tests evaluate lists with the real program, "openssl ciphers".

// An opensslSuite is a line of "openssl ciphers -V -stdname".
type opensslSuite struct {
	id                             uint16
	iana, name, kx, auth, enc, mac string
}

var opensslLine = regexp.MustCompile(`^ *0x(..),0x(..) - (?:(\S+) +- )?(\S+) +(\S+) +Kx=(\S+) +Au=(\S+) +Enc=(\S+) +Mac=(\S+)`)

// openssl returns the suites that OpenSSL makes of a list, and whether the list
// is right. Those of TLS 1.3, which a list does not decide, are left out.
func openssl(t *testing.T, list string, options ...string) (got []opensslSuite, ok bool) {
	t.Helper()
	if strings.HasPrefix(list, "-") {
		list = ":" + list // or it were an option
	}
	cmd := exec.Command(testenv.Tool(t, "openssl", "openssl"), append(append([]string{"ciphers", "-V"}, options...), list)...)
	cmd.Env = []string{"OPENSSL_CONF=/dev/null"} // not what the system has for a default
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		switch text := stderr.String(); {
		case strings.Contains(text, "no cipher match"):
			return nil, true
		case strings.Contains(text, "invalid command"):
			return nil, false
		default:
			t.Fatalf("openssl ciphers %q: %v\n%s", list, err, text)
		}
	}
	for line := range strings.Lines(stdout.String()) {
		m := opensslLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("openssl ciphers %q: what is the line %q?", list, line)
		}
		if m[5] == "TLSv1.3" {
			continue
		}
		id, err := strconv.ParseUint(m[1]+m[2], 16, 16)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, opensslSuite{uint16(id), m[3], m[4], m[6], m[7], m[8], m[9]})
	}
	return got, true
}

// everything returns the suites that this OpenSSL knows, by number.
func everything(t *testing.T) map[uint16]opensslSuite {
	t.Helper()
	list, ok := openssl(t, "ALL:COMPLEMENTOFALL", "-stdname")
	if !ok || len(list) < 100 {
		t.Fatalf("OpenSSL knows %d suites", len(list))
	}
	m := map[uint16]opensslSuite{}
	for _, s := range list {
		m[s.id] = s
	}
	return m
}

// TestTableOfOpenSSL compares the table with what the program says.
func TestTableOfOpenSSL(t *testing.T) {
	theirs := everything(t)
	kxs := map[string]uint32{"RSA": kRSA, "DH": kDHE, "ECDH": kECDHE, "PSK": kPSK, "RSAPSK": kRSAPSK, "DHEPSK": kDHEPSK, "ECDHEPSK": kECDHEPSK, "SRP": kSRP}
	auths := map[string]uint32{"RSA": aRSA, "DSS": aDSS, "ECDSA": aECDSA, "PSK": aPSK, "SRP": aSRP, "None": aNULL}
	macs := map[string]uint32{"MD5": mMD5, "SHA1": mSHA1, "SHA256": mSHA256, "SHA384": mSHA384, "AEAD": mAEAD}
	found := 0
	for i := range suites {
		s := &suites[i]
		o, ok := theirs[s.id]
		if !ok {
			continue
		}
		found++
		if o.name != s.name || o.iana != s.iana {
			t.Errorf("%#04x is %s (%s), and in the table %s (%s)", s.id, o.name, o.iana, s.name, s.iana)
		}
		if kxs[o.kx] != s.kx || auths[o.auth] != s.auth || macs[o.mac] != s.mac {
			t.Errorf("%s: the table has other traits than Kx=%s Au=%s Mac=%s", s.name, o.kx, o.auth, o.mac)
		}
		if want := fmt.Sprintf("(%d)", s.bits()); s.enc != eNULL && !strings.HasSuffix(o.enc, want) {
			t.Errorf("%s: %s, and in the table a key of %s", s.name, o.enc, want)
		}
	}
	if found != len(theirs) {
		t.Errorf("the table has %d of the %d suites of OpenSSL", found, len(theirs))
	}
}

// compare checks that OpenSSL makes of a list what we make of it: the same
// suites in the same order, of all that this OpenSSL knows.
func compare(t *testing.T, theirs map[uint16]opensslSuite, list string) {
	t.Helper()
	want, ok := openssl(t, list)
	e := evaluation{order: natural()}
	if err := e.run(list); (err == nil) != ok {
		t.Errorf("%q: got error %v; OpenSSL takes the list: %v", list, err, ok)
		return
	}
	if !ok {
		if _, _, err := Parse(list); err == nil {
			t.Errorf("Parse(%q) succeeds, and OpenSSL says \"invalid command\"", list)
		}
		return
	}
	var got, wanted []string
	for _, it := range e.order {
		if _, known := theirs[it.suite.id]; known && it.active {
			got = append(got, it.suite.name)
		}
	}
	var ours []record.Suite
	for _, s := range want {
		wanted = append(wanted, s.name)
		if r := record.Suite(s.id); r.Known() {
			ours = append(ours, r)
		}
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("%q\n got %s\nwant %s", list, strings.Join(got, ":"), strings.Join(wanted, ":"))
	}
	if suites, _, err := Parse(list); e.level == 0 && (!slices.Equal(suites, ours) || (err == nil) != (len(ours) > 0)) {
		t.Errorf("Parse(%q) = %v, %v, want %v", list, suites, err, ours)
	}
}

// TestOpenSSL compares lists from documents and configurations, and those that
// are near the edges of the syntax.
func TestOpenSSL(t *testing.T) {
	theirs := everything(t)
	for _, list := range []string{
		"ALL", "DEFAULT", "HIGH", "ALL:COMPLEMENTOFALL", "COMPLEMENTOFDEFAULT", "ALL:@STRENGTH", "ALL:!aNULL:!eNULL",
		"AES256-SHA", "CAMELLIA128-SHA", "RSA+HIGH:@STRENGTH", "3DES", "RC4-SHA:AES128-SHA", "NULL", "AES128-GCM-SHA256",
		"HIGH:!aNULL:!MD5", "HIGH:!aNULL:!MD5:!3DES", "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!MD5:!DSS",
		"EECDH+AESGCM:EDH+AESGCM:AES256+EECDH:AES256+EDH", "EECDH+ECDSA+AESGCM EECDH+aRSA+AESGCM EECDH+ECDSA+SHA384 EECDH EDH+aRSA !aNULL",
		"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305",
		"kEECDH+AES128:kEECDH:kEDH:-3DES:kRSA+AES128:kEDH+3DES:DES-CBC3-SHA:!RC4:!aNULL:!eNULL:!MD5:!EXPORT:!LOW:!SEED:!CAMELLIA:!IDEA:!PSK:!SRP:!SSLv2",
		"ALL:!ADH:!LOW:!EXP:!MD5:@STRENGTH", "ALL:!ADH:RC4+RSA:+HIGH:+MEDIUM:+LOW:+SSLv2:+EXP", "ALL:!EXPORT:!LOW:!aNULL:!eNULL:!SSLv2",
		"TLSv1.2", "TLSv1", "TLSv1.0", "SSLv3", "TLSv1.2+AESGCM", "TLSv1.2:!kRSA", "TLSv1.2+SSLv3", "FIPS", "FIPS:!kRSA", "HIGH+FIPS", "FIPS+AES128",
		"NULL+HIGH", "ALL+eNULL", "ECDH", "kECDHE", "ECDHE", "AECDH", "DH", "ADH", "DHE", "aNULL", "eNULL", "PSK", "kPSK", "kRSAPSK", "kECDHEPSK", "kDHEPSK",
		"SRP", "aSRP", "kSRP", "aPSK", "aRSA", "aDSS", "DSS", "aECDSA", "ECDSA", "RSA", "kRSA", "AES", "AES128", "AES256", "AESGCM", "AESCCM", "AESCCM8", "ARIA",
		"ARIA128", "ARIA256", "ARIAGCM", "CAMELLIA", "CAMELLIA128", "CAMELLIA256", "CHACHA20", "CBC", "MD5", "SHA", "SHA1", "SHA256", "SHA384", "LOW", "MEDIUM",

		"HIGH:-AES128:HIGH", "HIGH:-AES128:-CHACHA20:HIGH", "HIGH:-HIGH:AES128:HIGH", "HIGH:!AES128:HIGH", "HIGH:+AESGCM:+ECDHE", "+AES:HIGH",
		"AES128:AES256:@STRENGTH", "HIGH:@STRENGTH:+AES256", "ALL:COMPLEMENTOFALL:+eNULL:@STRENGTH", "-ALL:AES", "!AES:ALL", "!ALL:ALL:NULL",
		"DEFAULT:!AES", "DEFAULT!AES", "DEFAULT@STRENGTH", "DEFAULT+AES128", "DEFAULT:COMPLEMENTOFDEFAULT", "DEFAULTx:AES", "DEFAULT:DEFAULT", "AES:DEFAULT",
		"DEFAUL:AES", "DEFAULT:SUITEB128", "SUITEB128", "SUITEB128ONLY", "SUITEB128C2", "SUITEB192", "SUITEB128:AES", "SUITEB192x", "SUITEB12:AES", "AES:SUITEB128",

		"HIGH!aNULL", "HIGH!aNULL@STRENGTH", "AES128@STRENGTH", "AES:FOO!AES", "FOO(:AES", "FOO+:AES", "FOO++:AES", "AES128+AES256!AES:AES", "AES+FOO!AES:AES",
		"AES256:@STRENGTH!AES", "AES256:@STRENGTH+(:AES", "AES;CHACHA20", "AES,CHACHA20", "AES CHACHA20", ",;: AES", "AES::", "A=B:AES", "A.B:AES", "aes:AES128",
		"CHACHA20+SHA256!CHACHA20:CHACHA20", "ECDHE-RSA-AES128-GCM-SHA256+TLSv1.2", "TLSv1.2+ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256+AES256",
		"ECDHE-RSA-AES128-GCM-SHA256+HIGH+FIPS", "ECDHE-RSA-CHACHA20-POLY1305+FIPS",

		"AES128-SHA(", "AES\tAES", "AES:é", "!", "+", "@", "HIGH:!", "HIGH:+:AES", "HIGH+", "HIGH++AES", "!+AES", "AES!!", "AES:@FOO", "AES:@STRENGTHX",
		"AES:@SECLEVEL=", "AES:@SECLEVEL=6", "AES:@SECLEVEL=10", "AES:@SECLEVEL=x", "AES:@SECLEVEL=0", "", ":", "FOO", "!AES", "DEFAULT!",
	} {
		compare(t, theirs, list)
	}
}

// TestRandomListsOfOpenSSL compares lists that nobody would write.
func TestRandomListsOfOpenSSL(t *testing.T) {
	theirs := everything(t)
	var names []string
	for name := range groups {
		// What OpenSSL makes of X+COMPLEMENTOFDEFAULT depends on its version
		// and on the order of the two.
		if name != "COMPLEMENTOFDEFAULT" {
			names = append(names, name)
		}
	}
	for _, s := range record.Suites() {
		names = append(names, s.String())
	}
	slices.Sort(names)
	often := []string{"ALL", "HIGH", "ECDHE", "AESGCM", "CHACHA20", "aRSA", "aECDSA", "AES128", "AES256", "AES", "TLSv1.2", "FIPS"}
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	for range 300 {
		var list strings.Builder
		for range 1 + r.IntN(8) {
			list.WriteString(pick([]string{"", "", "", "!", "-", "-", "+", "+"}))
			list.WriteString(pick([]string{pick(often), pick(names)}))
			for r.IntN(3) == 0 {
				list.WriteString("+" + pick([]string{pick(often), pick(names)}))
			}
			list.WriteString(pick([]string{":", ":", ":", ",", " ", ";", "::", ":@STRENGTH:", ":FOO:"}))
		}
		compare(t, theirs, list.String())
	}
}

// TestSecurityLevelsOfOpenSSL compares what a security level leaves.
func TestSecurityLevelsOfOpenSSL(t *testing.T) {
	for _, names := range []string{"ALL", "HIGH:+AES256", "AES128", "CHACHA20:AES128", "aECDSA:@STRENGTH"} {
		for level := range 6 {
			list := fmt.Sprintf("%s:@SECLEVEL=%d", names, level)
			all, ok := openssl(t, list, "-s", "-tls1_2") // -s: at the list's own level
			var want []record.Suite
			for _, s := range all {
				if r := record.Suite(s.id); r.Known() {
					want = append(want, r)
				}
			}
			if got, _, err := Parse(list); !ok || !slices.Equal(got, want) || (err == nil) != (len(want) > 0) {
				t.Errorf("Parse(%q) = %v, %v, want %v", list, got, err, want)
			}
		}
	}
}
