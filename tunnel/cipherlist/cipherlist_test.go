package cipherlist

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"campagnol/internal/cli"
	"campagnol/tunnel/record"
)

// Short names for the suites, by certificate, cipher and length of the key.
const (
	e128 = record.ECDHE_ECDSA_AES128_GCM
	e256 = record.ECDHE_ECDSA_AES256_GCM
	eCha = record.ECDHE_ECDSA_CHACHA20_POLY1305
	r128 = record.ECDHE_RSA_AES128_GCM
	r256 = record.ECDHE_RSA_AES256_GCM
	rCha = record.ECDHE_RSA_CHACHA20_POLY1305
)

// inOrder are all suites in the order of OpenSSL.
var inOrder = []record.Suite{e256, r256, eCha, rCha, e128, r128}

// A parseCase is a list with what it leaves.
type parseCase struct {
	name, list string
	want       []record.Suite
	warnings   []string
}

func checkParse(t *testing.T, cases []parseCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, warnings, err := Parse(c.list)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("Parse(%q)\n got %v\nwant %v", c.list, got, c.want)
			}
			if !slices.Equal(warnings, c.warnings) {
				t.Errorf("warnings of %q\n got %s\nwant %s", c.list, strings.Join(warnings, "\n     "), strings.Join(c.warnings, "\n     "))
			}
		})
	}
}

func TestParse(t *testing.T) {
	checkParse(t, []parseCase{
		{"one suite", "ECDHE-RSA-AES128-GCM-SHA256", []record.Suite{r128}, nil},
		{"its registered name", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", []record.Suite{r128}, nil},
		{"order of the list", "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256", []record.Suite{rCha, e128}, nil},
		{"separators", " ECDHE-RSA-CHACHA20-POLY1305,,ECDHE-ECDSA-AES128-GCM-SHA256; ECDHE-RSA-AES128-GCM-SHA256:", []record.Suite{rCha, e128, r128}, nil},
		{"added twice", "AES128:HIGH:AES128", []record.Suite{e128, r128, e256, r256, eCha, rCha}, nil},

		{"all", "ALL", inOrder, nil},
		{"default", "DEFAULT", inOrder, nil},
		{"default, and less", "DEFAULT:!AES128", []record.Suite{e256, r256, eCha, rCha}, nil},
		{"default without separator", "DEFAULT!AES128", []record.Suite{e256, r256, eCha, rCha}, nil},
		{"high", "HIGH", inOrder, nil},
		{"FIPS", "FIPS", []record.Suite{e256, r256, e128, r128}, nil},
		{"version", "TLSv1.2", inOrder, nil},
		{"key exchange", "kEECDH", inOrder, nil},
		{"old and new names of ECDHE", "ECDHE+aRSA:EECDH+aECDSA", []record.Suite{r256, rCha, r128, e256, eCha, e128}, nil},
		{"authentication", "aRSA", []record.Suite{r256, rCha, r128}, nil},
		{"cipher", "CHACHA20", []record.Suite{eCha, rCha}, nil},
		{"length of the key", "AES128:AES256", []record.Suite{e128, r128, e256, r256}, nil},
		{"all that we recommend", "ECDHE+AESGCM", []record.Suite{e256, r256, e128, r128}, nil},
		{"three conditions", "ECDHE+AESGCM+aRSA", []record.Suite{r256, r128}, nil},
		{"a condition on a suite", "ECDHE-RSA-AES128-GCM-SHA256+HIGH", []record.Suite{r128}, nil},

		{"kill", "HIGH:!AESGCM:AESGCM", []record.Suite{eCha, rCha}, nil},
		{"kill before", "!ECDSA:HIGH", []record.Suite{r256, rCha, r128}, nil},
		{"delete", "HIGH:-AES128", []record.Suite{e256, r256, eCha, rCha}, nil},
		{"delete and add again", "HIGH:-AES:AES128:AES256", []record.Suite{eCha, rCha, e128, r128, e256, r256}, nil},
		{"what is deleted last comes first", "HIGH:-AES128:-CHACHA20:HIGH", []record.Suite{e256, r256, eCha, rCha, e128, r128}, nil},
		{"delete all, keep an order", "HIGH:-HIGH:CHACHA20:ALL", []record.Suite{eCha, rCha, e256, r256, e128, r128}, nil},
		{"move to the end", "HIGH:+AES256", []record.Suite{eCha, rCha, e128, r128, e256, r256}, nil},
		{"move adds nothing", "+AES256:AES128", []record.Suite{e128, r128}, nil},
		{"strength", "AES128:CHACHA20:AES256:@STRENGTH", []record.Suite{eCha, rCha, e256, r256, e128, r128}, nil},
		{"strength of what is there", "AES128:@STRENGTH:AES256", []record.Suite{e128, r128, e256, r256}, nil},
		{"no separators", "HIGH!AESGCM@STRENGTH", []record.Suite{eCha, rCha}, nil},
	})
}

func TestInVain(t *testing.T) {
	checkParse(t, []parseCase{
		{"of a recipe", "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:" +
			"DHE-RSA-AES128-SHA:AES128-SHA:AES256-SHA:DES-CBC3-SHA:!DSS:!aNULL", []record.Suite{e128, r128}, []string{
			"cipher_list: ECDHE-ECDSA-AES256-SHA384 and ECDHE-RSA-AES256-SHA384 are refused (CBC mode)",
			"cipher_list: DHE-RSA-AES128-SHA is refused (CBC mode, a SHA-1 MAC and DHE instead of ECDHE)",
			"cipher_list: AES128-SHA and AES256-SHA are refused (a key exchange without forward secrecy, CBC mode and a SHA-1 MAC)",
			"cipher_list: DES-CBC3-SHA is refused (a key exchange without forward secrecy, an outdated cipher, CBC mode and a SHA-1 MAC)",
		}},
		{"no encryption", "ECDHE+CHACHA20:NULL:ECDHE-RSA-NULL-SHA", []record.Suite{eCha, rCha}, []string{
			"cipher_list: NULL and ECDHE-RSA-NULL-SHA are refused (no encryption at all)",
		}},
		{"a group of which some encrypt", "CHACHA20:MD5", []record.Suite{eCha, rCha}, []string{
			"cipher_list: MD5 is refused (an outdated cipher and an MD5 MAC)",
		}},
		{"a group with nothing in common", "CHACHA20:SSLv3", []record.Suite{eCha, rCha}, []string{
			"cipher_list: SSLv3 is refused (no authentication of the peer, a key exchange without forward secrecy or a SHA-1 MAC)",
		}},
		{"killed in vain", "CHACHA20:!RC4:-3DES:+kRSA:!AES128+AES256", []record.Suite{eCha, rCha}, nil},
		{"unknown", "CHACHA20:FOO:!BAR:ECDHE+FOO:foo_bar.baz=1:FOO", []record.Suite{eCha, rCha}, []string{
			"cipher_list: FOO, !BAR, ECDHE+FOO and foo_bar.baz=1 are not known",
		}},
		{"unknown because of its case", "CHACHA20:high:ecdhe-rsa-aes128-gcm-sha256", []record.Suite{eCha, rCha}, []string{
			"cipher_list: high is not known (it is written HIGH)",
			"cipher_list: ecdhe-rsa-aes128-gcm-sha256 is not known (it is written ECDHE-RSA-AES128-GCM-SHA256)",
		}},
		{"known elsewhere", "CHACHA20:DEFAULT:TLS_AES_128_GCM_SHA256:!SSLv2", []record.Suite{eCha, rCha}, []string{
			"cipher_list: DEFAULT is not obeyed (it counts only at the start of a list)",
			"cipher_list: TLS_AES_128_GCM_SHA256 is not obeyed (it is of TLS 1.3, and this is DTLS 1.2)",
			"cipher_list: !SSLv2 is not obeyed (there is none of SSL 2)",
		}},
		{"an unknown name makes what follows it void", "CHACHA20:FOO!CHACHA20\x1b", []record.Suite{eCha, rCha}, []string{
			`cipher_list: "FOO!CHACHA20\x1b" is not known`,
		}},
		{"excluding conditions", "CHACHA20:AES128+AES256:CHACHA20+SHA256", []record.Suite{eCha, rCha}, []string{
			"cipher_list: AES128+AES256 and CHACHA20+SHA256 fit no cipher suite",
		}},
		{"not by default, in both orders", "CHACHA20:COMPLEMENTOFDEFAULT+HIGH:HIGH+COMPLEMENTOFDEFAULT", []record.Suite{eCha, rCha}, []string{
			"cipher_list: COMPLEMENTOFDEFAULT+HIGH and HIGH+COMPLEMENTOFDEFAULT are refused " +
				"(CBC mode, DHE instead of ECDHE or an AEAD that is not spoken)",
		}},
		{"behind a command", "CHACHA20:@STRENGTH!CHACHA20", []record.Suite{eCha, rCha}, []string{
			`cipher_list: !CHACHA20 is not obeyed (a ":" is missing before it)`,
		}},
	})
}

func TestLevelsAndSuiteB(t *testing.T) {
	checkParse(t, []parseCase{
		{"security level without effect", "HIGH:@SECLEVEL=1", inOrder, nil},
		{"security level of Debian", "DEFAULT@SECLEVEL=2", inOrder, []string{
			"cipher_list: @SECLEVEL=2 is obeyed for cipher suites, not for certificates",
		}},
		{"security level", "@SECLEVEL=4:HIGH", []record.Suite{e256, r256, eCha, rCha}, []string{
			"cipher_list: @SECLEVEL=4 is obeyed for cipher suites, not for certificates",
		}},
		{"the last security level counts", "@SECLEVEL=5:HIGH:@SECLEVEL=0", inOrder, nil},

		{"Suite B", "SUITEB128", []record.Suite{e128, e256}, []string{
			"cipher_list: SUITEB128 is obeyed for cipher suites, not for curves and signatures",
		}},
		{"Suite B, and more", "SUITEB128C2:AES128", []record.Suite{e256}, []string{
			`cipher_list: ":AES128" is not obeyed (nothing counts after SUITEB128C2)`,
			"cipher_list: SUITEB128C2 is obeyed for cipher suites, not for curves and signatures",
		}},
		{"Suite B with 128 bits only", "SUITEB128ONLY", []record.Suite{e128}, []string{
			"cipher_list: SUITEB128ONLY is obeyed for cipher suites, not for curves and signatures",
		}},
		{"Suite B with 192 bits", "SUITEB192", []record.Suite{e256}, []string{
			"cipher_list: SUITEB192 is obeyed for cipher suites, not for curves and signatures",
		}},
	})
}

func TestNothingLeft(t *testing.T) {
	for _, c := range []struct {
		name, list, want string
	}{
		{"of the original", "AES256-SHA", "AES256-SHA is refused (a key exchange without forward secrecy, CBC mode and a SHA-1 MAC)"},
		{"several", "AES128-SHA:AES256-SHA:CAMELLIA128-SHA", "AES128-SHA, AES256-SHA and CAMELLIA128-SHA are refused " +
			"(a key exchange without forward secrecy, CBC mode and a SHA-1 MAC)"},
		{"no encryption", "NULL", "NULL is refused (no encryption at all)"},
		{"no encryption, with ECDHE", "ECDHE+NULL", "ECDHE+NULL is refused (no encryption at all)"},
		{"two reasons", "NULL:AES256-GCM-SHA384", "NULL is refused (no encryption at all) and " +
			"AES256-GCM-SHA384 is refused (a key exchange without forward secrecy)"},
		{"RSA key exchange", "RSA+HIGH:@STRENGTH", "RSA+HIGH is refused (a key exchange without forward secrecy)"},
		{"fixed ECDH", "ECDH-ECDSA-AES256-GCM-SHA384", "ECDH-ECDSA-AES256-GCM-SHA384 is refused (a key exchange without forward secrecy)"},
		{"fixed ECDH, all", "kECDH", "kECDH is refused (a key exchange without forward secrecy)"},
		{"outdated cipher", "3DES", "3DES is refused (an outdated cipher and CBC mode)"},
		{"outdated stream cipher", "RC4", "RC4 is refused (an outdated cipher)"},
		{"CBC", "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256 is refused (CBC mode)"},
		{"MAC", "SHA384", "SHA384 is refused (CBC mode)"},
		{"Camellia", "CAMELLIA", "CAMELLIA is refused (CBC mode)"},
		{"other AEADs", "ECDHE+AESCCM:ECDHE+ARIA", "ECDHE+AESCCM and ECDHE+ARIA are refused (an AEAD that is not spoken)"},
		{"DHE", "DHE+CHACHA20", "DHE+CHACHA20 is refused (DHE instead of ECDHE)"},
		{"anonymous", "AECDH+AES", "AECDH+AES is refused (no authentication of the peer, CBC mode and a SHA-1 MAC)"},
		{"DSA", "DSS", "DSS is refused (DSA certificates)"},
		{"pre-shared keys", "ECDHE-PSK-CHACHA20-POLY1305", "ECDHE-PSK-CHACHA20-POLY1305 is refused (shared secrets instead of certificates)"},
		{"Kerberos", "KRB5", "KRB5 is refused (a key exchange without forward secrecy, shared secrets instead of certificates and an outdated cipher)"},
		{"GOST", "GOST2001-GOST89-GOST89", "GOST2001-GOST89-GOST89 is refused (a key exchange without forward secrecy and GOST algorithms)"},
		{"unknown", "FOO", "FOO is not known"},
		{"excluding conditions", "AES128+AES256", "AES128+AES256 fits no cipher suite"},
		{"taken out", "ECDHE:!ECDHE", "what it adds, it takes out again"},
		{"killed before", "!AES:!CHACHA20:ECDHE", "what it adds, it takes out again"},
		{"refused, taken out", "ECDHE:NULL:-ECDHE", "NULL is refused (no encryption at all) and what it adds, it takes out again"},
		{"security level", "AES128:@SECLEVEL=4", "@SECLEVEL=4 asks for keys of 192 bits"},
		{"empty", "", "it adds none"},
		{"only separators", ": ,;", "it adds none"},
		{"adds nothing", "!RC4:+AES:@STRENGTH", "it adds none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			suites, warnings, err := Parse(c.list)
			if suites != nil || warnings != nil {
				t.Errorf("got suites %v and warnings %q beside the error", suites, warnings)
			}
			want := `cipher_list "` + c.list + `" leaves no cipher suite: ` + c.want + "; ECDHE+AESGCM would work"
			if err == nil || err.Error() != want {
				t.Fatalf("error of Parse(%q)\n got %v\nwant %s", c.list, err, want)
			}
			checkHint(t, err, "without cipher_list, all the suites that are safe may be used")
		})
	}
	if suites, _, err := Parse(works); err != nil || len(suites) == 0 {
		t.Errorf("the list that would work leaves %v, %v", suites, err)
	}
}

func TestSyntax(t *testing.T) {
	const between = `write names with ":" between them, such as ECDHE+AESGCM:!ECDSA; or take cipher_list out`
	for _, c := range []struct {
		list, want string
	}{
		{"!", `cipher_list "!" is not a cipher list: "!" lacks the name of a suite or group`},
		{"HIGH:!", `cipher_list "HIGH:!" is not a cipher list: "!" lacks the name of a suite or group`},
		{"HIGH: +:ECDHE", `cipher_list "HIGH: +:ECDHE" is not a cipher list: "+" lacks the name of a suite or group`},
		{"HIGH+", `cipher_list "HIGH+" is not a cipher list: "HIGH+" lacks the name of a suite or group`},
		{"HIGH++AES", `cipher_list "HIGH++AES" is not a cipher list: "+" after "HIGH+" begins no name`},
		{"!+AES", `cipher_list "!+AES" is not a cipher list: "+" after "!" begins no name`},
		{"@", `cipher_list "@" is not a cipher list: "@" lacks the name of a suite or group`},
		{"HIGH:@FOO", `cipher_list "HIGH:@FOO" is not a cipher list: "@FOO" is not a command; there are @STRENGTH, and @SECLEVEL=0 to 5`},
		{"@STRENGTHS", `cipher_list "@STRENGTHS" is not a cipher list: "@STRENGTHS" is not a command; there are @STRENGTH, and @SECLEVEL=0 to 5`},
		{"@SECLEVEL=6", `cipher_list "@SECLEVEL=6" is not a cipher list: "@SECLEVEL=6" is not a command; there are @STRENGTH, and @SECLEVEL=0 to 5`},
		{"@SECLEVEL=", `cipher_list "@SECLEVEL=" is not a cipher list: "@SECLEVEL=" is not a command; there are @STRENGTH, and @SECLEVEL=0 to 5`},
		{"@SECLEVEL=11", `cipher_list "@SECLEVEL=11" is not a cipher list: "@SECLEVEL=11" is not a command; there are @STRENGTH, and @SECLEVEL=0 to 5`},
		{"HIGH\tAES", `cipher_list "HIGH\tAES" is not a cipher list: "\t" neither begins a name nor separates names`},
		{"HIGH:(AES)", `cipher_list "HIGH:(AES)" is not a cipher list: "(" neither begins a name nor separates names`},
		{"HIGH:é", `cipher_list "HIGH:é" is not a cipher list: "é" neither begins a name nor separates names`},
		{"HIGH:\xff", `cipher_list "HIGH:\xff" is not a cipher list: "\xff" neither begins a name nor separates names`},
		{"HIGH\x00", `cipher_list "HIGH\x00" is not a cipher list: "\x00" neither begins a name nor separates names`},
		{"SUITEB12:!", `cipher_list "SUITEB12:!" is not a cipher list: "!" lacks the name of a suite or group`},
		{"DEFAULT+", `cipher_list "DEFAULT+" is not a cipher list: "+" lacks the name of a suite or group`},
	} {
		suites, warnings, err := Parse(c.list)
		if err == nil || err.Error() != c.want {
			t.Errorf("error of Parse(%q)\n got %v\nwant %s", c.list, err, c.want)
			continue
		}
		if suites != nil || warnings != nil {
			t.Errorf("Parse(%q): got suites %v and warnings %q beside the error", c.list, suites, warnings)
		}
		checkHint(t, err, between)
	}
}

// checkHint checks what the error tells to do.
func checkHint(t *testing.T, err error, want string) {
	t.Helper()
	var hinter interface{ Hint() string }
	if !errors.As(err, &hinter) {
		t.Fatalf("the error has no hint: %v", err)
	}
	if got := hinter.Hint(); got != want {
		t.Errorf("hint\n got %s\nwant %s", got, want)
	}
}

// TestPrinted checks an error in the form in which a user sees it.
func TestPrinted(t *testing.T) {
	_, _, err := Parse("NULL")
	var b strings.Builder
	cli.Print(&b, "campagnol", err)
	want := `campagnol: cipher_list "NULL" leaves no cipher suite: NULL is refused (no encryption at all); ECDHE+AESGCM would work
hint: without cipher_list, all the suites that are safe may be used
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestLongLists(t *testing.T) {
	all := func() string {
		var names []string
		for _, s := range suites {
			names = append(names, s.name)
		}
		return strings.Join(names, ":")
	}()
	got, warnings, err := Parse(all)
	if err != nil || len(got) != len(record.Suites()) {
		t.Errorf("the names of all suites: got %v, %v", got, err)
	}
	if len(warnings) > maxProblems+1 {
		t.Errorf("%d warnings for one list", len(warnings))
	}
	if len(all) > maxList/2 {
		t.Errorf("the names of all suites have %d bytes; maxList = %d says that it is the double", len(all), maxList)
	}

	for _, c := range []struct{ name, element string }{
		{"adding", "ALL:"}, {"deleting", "-ALL:ALL:"}, {"sorting", "ALL@STRENGTH:"}, {"unknown", "FO:"},
		{"conditions", "ALL+HIGH+AES+ECDHE+"}, {"separators", ":"},
	} {
		list := strings.Repeat(c.element, (maxList-len("ECDHE"))/len(c.element)) + "ECDHE"
		if got, _, err := Parse(list); err != nil || len(got) == 0 {
			t.Errorf("a long list (%s): got %v, %v", c.name, got, err)
		}
	}
	_, _, err = Parse(strings.Repeat("A", maxList+1))
	if want := `cipher_list "` + strings.Repeat("A", maxQuote) + `"... is longer than 16384 bytes`; err == nil || err.Error() != want {
		t.Errorf("a list that is too long\n got %v\nwant %s", err, want)
	}
}

// TestManyProblems checks that a list does not make more text than one can read.
func TestManyProblems(t *testing.T) {
	var ps problems
	for range 2 {
		for _, e := range []string{"A", "B", "C", "D", "E", "F", "G"} {
			ps.add(unknown, e, "")
		}
	}
	ps.add(refused, "A", "")
	ps.add(unfit, strings.Repeat("é", 100), "")
	for i := range 20 {
		ps.add(refused, "X", strings.Repeat("x", i+1))
	}
	got := ps.texts()
	if len(got) != maxProblems+1 {
		t.Fatalf("got %d texts, want %d", len(got), maxProblems+1)
	}
	for i, want := range map[int]string{
		0:           "A, B, C, D, E and 4 more are not known", // beyond five, repetitions are not seen
		1:           "A is refused",
		2:           `"` + strings.Repeat("é", maxQuote/2) + `"... fits no cipher suite`,
		3:           "X is refused (x)",
		maxProblems: "13 more have no effect either",
	} {
		if got[i] != want {
			t.Errorf("text %d\n got %s\nwant %s", i, got[i], want)
		}
	}
}
