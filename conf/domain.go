package conf

import "strings"

// domainHint says how a domain is written.
const domainHint = "write a domain that nobody else has, such as vpn.example.org or vpn.internal"

// maxDomain is the length of the longest domain, in bytes: there is room for the name of
// a member before it (RFC 1035 section 2.3.4).
const maxDomain = 253 - 64

// domain stores a domain of names, in lower case and without a dot at the end.
func (a *assignment) domain(dst *string) {
	name := strings.ToLower(strings.TrimSuffix(a.text, "."))
	if why := wrongDomain(name); why != "" {
		a.failWith(why, domainHint)
		return
	}
	if name == "local" || strings.HasSuffix(name, ".local") {
		a.warn("is a domain in which hosts ask each other by multicast (RFC 6762), and perhaps not us", domainHint)
	}
	*dst = name
}

// wrongDomain returns why a name is no domain for members, as it follows the value; "": it
// is one.
func wrongDomain(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > maxDomain:
		return "is too long"
	case name == "arpa" || strings.HasSuffix(name, ".arpa"):
		return "belongs to the Internet's own names"
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		return "is this host, whatever anybody says"
	}
	for _, label := range strings.Split(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return "is not a domain"
		}
	}
	return ""
}
