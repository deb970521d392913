package conf

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestParseBool(t *testing.T) {
	for in, want := range map[string]string{
		"yes": "true", "YES": "true", "On": "true", "1": "true", "tRuE": "true",
		"no": "false", "OFF": "false", "0": "false", "False": "false",
		"": "ERR", "y": "ERR", "01": "ERR", " yes": "ERR", "yes ": "ERR", "ye\u017f": "ERR",
	} {
		if got := dumpBool(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// result renders what a conversion returns, with the text behind the number.
func result[T any](v T, rest string, ok bool) string {
	if !ok {
		return "ERR"
	}
	if rest != "" {
		return fmt.Sprintf("%v+%q", v, rest)
	}
	return fmt.Sprint(v)
}

func TestParseInt(t *testing.T) {
	for in, want := range map[string]string{
		"12":                     "12",
		"12abc":                  `12+"abc"`,
		" \t\n\v\f\r7 ":          `7+" "`,
		"-5":                     "-5",
		"+3":                     "3",
		"+-3":                    "ERR",
		"- 3":                    "ERR",
		"0x10":                   `0+"x10"`,
		"007":                    "7",
		"":                       "ERR",
		" ":                      "ERR",
		"-":                      "ERR",
		"abc":                    "ERR",
		"2147483647":             "2147483647",
		"2147483648":             "ERR",
		"-2147483648":            "-2147483648",
		"-2147483649":            "ERR",
		"18446744073709551616":   "ERR",
		strings.Repeat("9", 100): "ERR",
		strings.Repeat("0", 100): "0",
		"99999999999999999999 7": "ERR",
	} {
		if got := result(parseInt(in)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestParseUint(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit uint64
		want  string
	}{
		{"65535", math.MaxUint16, "65535"},
		{"65536", math.MaxUint16, "ERR"},
		{"80x", math.MaxUint16, `80+"x"`},
		{"-0", math.MaxUint16, "0"},
		{"-1", math.MaxUint32, "ERR"},
		{"-1", math.MaxUint64, "18446744073709551615"},
		{"-18446744073709551615", math.MaxUint16, "1"},
		{"-18446744073709551616", math.MaxUint16, "ERR"},
		{"18446744073709551615", math.MaxUint64, "18446744073709551615"},
		{"18446744073709551616", math.MaxUint64, "ERR"},
		{"4294967295", math.MaxUint32, "4294967295"},
		{"", math.MaxUint32, "ERR"},
	} {
		if got := result(parseUint(c.in, c.limit)); got != c.want {
			t.Errorf("%q up to %d: %s, want %s", c.in, c.limit, got, c.want)
		}
	}
}

func TestParseFloat(t *testing.T) {
	for in, want := range map[string]string{
		"1":                     "1",
		"12.5 # kB":             `12.5+" # kB"`,
		"1.":                    "1",
		".5":                    "0.5",
		".":                     "ERR",
		"-.5e1x":                `-5+"x"`,
		"1e":                    `1+"e"`,
		"1e+":                   `1+"e+"`,
		"1e+2":                  "100",
		"1.2.3":                 `1.2000000476837158+".3"`,
		"1,5":                   `1+",5"`,
		"0x1p4":                 "16",
		"0X.8":                  "0.5",
		"0x1p":                  `1+"p"`,
		"0x":                    `0+"x"`,
		"0xg":                   `0+"xg"`,
		"0x.p1":                 `0+"x.p1"`,
		"inf":                   "+Inf",
		"-INFINITY":             "-Inf",
		"infinit":               `+Inf+"init"`,
		"nan":                   "NaN",
		"nan(abc_1)x":           `NaN+"x"`,
		"nan(a b)":              `NaN+"(a b)"`,
		"nan(ab":                `NaN+"(ab"`,
		"na":                    "ERR",
		"":                      "ERR",
		"-":                     "ERR",
		"e5":                    "ERR",
		"1_000":                 `1+"_000"`,
		"0x1_0":                 `1+"_0"`,
		"3.4028235e38":          "3.4028234663852886e+38",
		"3.5e38":                "ERR",
		"1e99":                  "ERR",
		"-1e99":                 "ERR",
		"1e-45":                 "ERR", // too close to zero
		"1e-99":                 "ERR",
		"0e-99":                 "0",
		"0e99":                  "0",
		"0x1p-126":              "1.1754943508222875e-38",
		"1e999999999999999999":  "ERR",
		"1e-999999999999999999": "ERR",
	} {
		if got := result(parseFloat(in)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestParsePort16(t *testing.T) {
	for in, want := range map[string]string{
		"4444":                  "4444 true",
		" \t4444":               "4444 true",
		"70000":                 "4464 false",
		"65535":                 "65535 true",
		"-1":                    "65535 false",
		"-18446744073709551615": "1 true",
		"99999999999999999999":  "65535 false",
		"-99999999999999999999": "65535 false",
		"18446744073709551615":  "65535 false",
		"x":                     "ERR",
		"":                      "ERR",
	} {
		port, exact, _, ok := parsePort16(in)
		if got := orERR(fmt.Sprint(port, exact), ok); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
