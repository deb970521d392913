package conf

import (
	"strings"
	"testing"
)

func TestParseAddr(t *testing.T) {
	for in, want := range map[string]string{
		"10.9.0.3":                "10.9.0.3",
		"10.9.3":                  "10.9.0.3",
		"10.9.65535":              "10.9.255.255",
		"10.9.65536":              "ERR",
		"10.3":                    "10.0.0.3",
		"10.16777215":             "10.255.255.255",
		"10.16777216":             "ERR",
		"168361987":               "10.9.0.3",
		"4294967295":              "255.255.255.255",
		"4294967296":              "ERR",
		"0x0a090003":              "10.9.0.3",
		"0X0A.0x9.0.0x3":          "10.9.0.3",
		"012.011.0.03":            "10.9.0.3",
		"08.9.0.3":                "ERR",
		"0x":                      "ERR",
		"0xg":                     "ERR",
		"0":                       "0.0.0.0",
		"255.255.255.255":         "255.255.255.255",
		"256.0.0.1":               "ERR",
		"1.2.3.256":               "ERR",
		"1.2.3.4.5":               "ERR",
		"1.2.3.4.":                "ERR",
		"1.2.3.":                  "ERR",
		"1..2":                    "ERR",
		".1":                      "ERR",
		"":                        "ERR",
		" 1.2.3.4":                "ERR",
		"+1.2.3.4":                "ERR",
		"1.2.3.4 # c":             `1.2.3.4+" # c"`,
		"1.2.3.4\nx":              `1.2.3.4+"\nx"`,
		"1.2.3.4x":                "ERR",
		"1.2.3.4\u00a0x":          "ERR",
		strings.Repeat("0", 1000): "0.0.0.0",
		strings.Repeat("1", 1000): "ERR",
	} {
		if got := result(parseAddr(in)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestPrefixBits(t *testing.T) {
	for _, c := range []struct {
		in   string
		bits int
		err  netmaskError
	}{
		{"10.9.0.0/24", 24, ""},
		{"10.9.0.0/0", 0, ""},
		{"10.9.0.0/32", 32, ""},
		{"10.9.0.0/08", 8, ""},
		{"10.9.0.0/+8", 8, ""},
		{"10.9.0.0/ 8", 8, ""},
		{"10.9.0.0/-0", 0, ""},
		{"/8", 8, ""},
		{"x/8", 8, ""},
		{"10.9.0.0", 0, errNoLength},
		{"", 0, errNoLength},
		{"10.9.0.0/", 0, errLength},
		{"10.9.0.0/8 ", 0, errLength},
		{"10.9.0.0/x", 0, errLength},
		{"10.9.0.0/8x", 0, errLength},
		{"10.9.0.0/008", 0, errLength},
		{"10.9.0.0/24/8", 0, errLength},
		{"10.9.0.0//8", 0, errLength},
		{"10.9.0.0/33", 0, errLengthRange},
		{"10.9.0.0/99", 0, errLengthRange},
		{"10.9.0.0/-1", 0, errLengthRange},
	} {
		bits, err := prefixBits(c.in)
		if bits != c.bits || err != c.err {
			t.Errorf("%q: %d, %q, want %d, %q", c.in, bits, err, c.bits, c.err)
		}
	}
}

func TestIsHostName(t *testing.T) {
	for in, want := range map[string]bool{
		"rdv.example.org":        true,
		"rdv.example.org.":       true,
		"RDV-1_x":                true,
		"1host":                  true,
		"7.example":              true,
		"":                       false,
		".":                      false,
		"203.0.113.300":          false,
		"example.7":              false,
		"example.7.":             false,
		"12":                     false,
		"a b":                    false,
		"a/b":                    false,
		"a:1":                    false,
		"é.example":              false,
		"a\x00":                  false,
		strings.Repeat("a", 253): true,
		strings.Repeat("a", 254): false,
	} {
		if got := isHostName(in); got != want {
			t.Errorf("%.40q: %v, want %v", in, got, want)
		}
	}
}
