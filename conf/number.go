package conf

import (
	"math"
	"strconv"
	"strings"
)

// The conversions of this file are those of the C library, which the original
// uses: leading white space and a sign are fine, and so is any text behind the
// number, which they return as rest. They report false if there is no number
// or if it does not fit.

// parseBool reads yes, on, true, 1, no, off, false or 0, in any case.
func parseBool(s string) (v, ok bool) {
	for _, w := range [...]string{"yes", "on", "true", "1"} {
		if equalWord(s, w) {
			return true, true
		}
	}
	for _, w := range [...]string{"no", "off", "false", "0"} {
		if equalWord(s, w) {
			return false, true
		}
	}
	return false, false
}

// equalWord compares without regard to the case of ASCII letters. (EqualFold
// also takes letters such as the long s, which have more bytes.)
func equalWord(s, word string) bool {
	return len(s) == len(word) && strings.EqualFold(s, word)
}

// isSpace is C's isspace.
func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// skipSpace returns the offset of the first byte of s that is no white space.
func skipSpace(s string) int {
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	return i
}

// skipSign returns the offset behind a sign at offset i of s, and whether it
// is a minus.
func skipSign(s string, i int) (int, bool) {
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		return i + 1, s[i] == '-'
	}
	return i, false
}

// parseDecimal reads what strtol and strtoul read in base 10: a sign and digits.
// It returns the offset behind them, 0 if there are no digits.
func parseDecimal(s string) (magnitude uint64, negative bool, end int, fits bool) {
	i, negative := skipSign(s, skipSpace(s))
	first, fits := i, true
	for ; i < len(s) && isDigit(s[i]); i++ {
		d := uint64(s[i] - '0')
		if magnitude > (math.MaxUint64-d)/10 {
			fits = false
			continue
		}
		magnitude = magnitude*10 + d
	}
	if i == first {
		return 0, false, 0, false
	}
	return magnitude, negative, i, fits
}

// parseInt is strtol for numbers that fit into 32 bits, as a C int.
func parseInt(s string) (v int, rest string, ok bool) {
	m, negative, end, fits := parseDecimal(s)
	switch {
	case !fits, negative && m > -math.MinInt32, !negative && m > math.MaxInt32:
		return 0, "", false
	case negative:
		return -int(m), s[end:], true
	}
	return int(m), s[end:], true
}

// parseUint is strtoul for numbers up to limit. A negative number counts from
// the upper end of 64 bits, which is too big unless it is close to -2^64.
func parseUint(s string, limit uint64) (v uint64, rest string, ok bool) {
	m, negative, end, fits := parseDecimal(s)
	if negative {
		m = -m
	}
	if !fits || m > limit {
		return 0, "", false
	}
	return m, s[end:], true
}

// parseFloat is strtof: decimal or hexadecimal, "inf", "infinity" or "nan". A
// number that a float cannot hold, because it is too big or too close to zero,
// does not fit.
func parseFloat(s string) (v float64, rest string, ok bool) {
	i, negative := skipSign(s, skipSpace(s))
	sign := 1.0
	if negative {
		sign = -1
	}
	if n := len(nanPrefix(s[i:])); n > 0 {
		return math.NaN(), s[i+n:], true
	}
	for _, w := range [...]string{"infinity", "inf"} {
		if len(s)-i >= len(w) && equalWord(s[i:i+len(w)], w) {
			return math.Inf(int(sign)), s[i+len(w):], true
		}
	}
	text, n, zero := floatPrefix(s[i:])
	if n == 0 {
		return 0, "", false
	}
	f, err := strconv.ParseFloat(text, 32)
	const smallest = 0x1p-126 // the smallest float with all its bits
	if err != nil || !zero && f < smallest {
		return 0, "", false
	}
	return sign * f, s[i+n:], true
}

// nanPrefix returns the "nan" or "nan(letters)" that s starts with.
func nanPrefix(s string) string {
	const nan = "nan"
	if len(s) < len(nan) || !equalWord(s[:len(nan)], nan) {
		return ""
	}
	if len(s) > len(nan) && s[len(nan)] == '(' {
		for i := len(nan) + 1; i < len(s); i++ {
			switch c := s[i]; {
			case c == ')':
				return s[:i+1]
			case !isDigit(c) && c != '_' && (c|0x20 < 'a' || c|0x20 > 'z'):
				return s[:len(nan)]
			}
		}
	}
	return s[:len(nan)]
}

// floatPrefix returns the number that s starts with in a form that ParseFloat
// takes, its length in s, 0 if there is none, and whether all its digits are
// zeros.
func floatPrefix(s string) (text string, n int, zero bool) {
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' {
		if end, zero := mantissa(s, 2, 16); end > 0 {
			if e := exponent(s, end, 'p'); e > end {
				return s[:e], e, zero
			}
			return s[:end] + "p0", end, zero // Go wants an exponent
		}
		return "0", 1, true // the zero of a lone "0x"
	}
	end, zero := mantissa(s, 0, 10)
	if end == 0 {
		return "", 0, false
	}
	end = exponent(s, end, 'e')
	return s[:end], end, zero
}

// mantissa returns the offset behind the digits at offset i of s, which may
// have a point among them; 0 if there is no digit.
func mantissa(s string, i, base int) (end int, zero bool) {
	digits, point := 0, false
	zero = true
	for ; i < len(s); i++ {
		switch d := digit(s[i]); {
		case d < base:
			digits++
			zero = zero && d == 0
		case s[i] == '.' && !point:
			point = true
		default:
			if digits == 0 {
				return 0, false
			}
			return i, zero
		}
	}
	if digits == 0 {
		return 0, false
	}
	return i, zero
}

// exponent returns the offset behind the exponent at offset i of s, which the
// letter starts in either case; i if there is none.
func exponent(s string, i int, letter byte) int {
	if i >= len(s) || s[i]|0x20 != letter {
		return i
	}
	first, _ := skipSign(s, i+1)
	j := first
	for j < len(s) && isDigit(s[j]) {
		j++
	}
	if j == first {
		return i
	}
	return j
}
