package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// caPrintAttributes says what a certificate carries for the policy, if anything.
func caPrintAttributes(w io.Writer, groups []string, routes []netip.Prefix) {
	if len(groups) > 0 {
		fmt.Fprintf(w, "  groups: %s\n", strings.Join(groups, ", "))
	}
	if len(routes) > 0 {
		fmt.Fprintf(w, "  networks behind it: %s\n", caRoutes(routes))
	}
}

// caRoutes lists networks for people.
func caRoutes(routes []netip.Prefix) string {
	var s []string
	for _, r := range routes {
		s = append(s, r.String())
	}
	return strings.Join(s, ", ")
}

// caGroupList is the value of --group.
type caGroupList []string

// String returns the groups with commas.
func (l *caGroupList) String() string { return strings.Join(*l, ",") }

// Set adds groups, separated by commas. Package ca checks them.
func (l *caGroupList) Set(text string) error {
	for s := range strings.SplitSeq(text, ",") {
		*l = append(*l, strings.TrimSpace(s))
	}
	return nil
}

// Type names the value in the help.
func (*caGroupList) Type() string { return "name" }

// caRouteList is the value of --route.
type caRouteList []netip.Prefix

// String returns the networks with commas.
func (l *caRouteList) String() string { return strings.ReplaceAll(caRoutes(*l), " ", "") }

// Set adds networks, separated by commas.
func (l *caRouteList) Set(text string) error {
	for s := range strings.SplitSeq(text, ",") {
		r, err := netip.ParsePrefix(strings.TrimSpace(s))
		if err != nil {
			return fmt.Errorf("%q is not a network such as 192.168.7.0/24", s)
		}
		*l = append(*l, r)
	}
	return nil
}

// Type names the value in the help.
func (*caRouteList) Type() string { return "network" }
