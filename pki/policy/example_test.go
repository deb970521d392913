package policy_test

import (
	"fmt"
	"net/netip"

	"campagnol/pki/policy"
)

func Example() {
	p, err := policy.Parse("policy.txt", `
group admins = alice, role:admin
default deny
allow admins <-> 10.9.0.0/24
filter admins -> all: allow tcp/22
filter all <-> all: deny
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	alice := policy.Member{Names: []string{"alice"}}
	web := policy.Member{Names: []string{"web"}, Addrs: []netip.Addr{netip.MustParseAddr("10.9.0.10")}}
	fmt.Println(p.Talk(alice, web))
	fmt.Println(p.Talk(web, policy.Member{Names: []string{"eve"}}))
	for _, r := range p.Filter(alice, web) {
		fmt.Println(r.Text)
	}
	// Output:
	// allowed by line 4: allow admins <-> 10.9.0.0/24
	// denied by line 3: default deny
	// filter admins -> all: allow tcp/22
	// filter all <-> all: deny
}

func ExampleParse() {
	_, err := policy.Parse("policy.txt", "group admins = alice\nalow admins <-> all\ndeny all <- bob\n")
	fmt.Println(err)
	// Output:
	// policy.txt:2:1: unexpected "alow", expected allow, deny, filter, group, default or version; did you mean "allow"?
	// policy.txt:3:10: unexpected "<-", expected "<->", or "->" with both sides exchanged
}

func ExampleDiff() {
	members := []policy.Member{{Names: []string{"alice"}}, {Names: []string{"bob"}}, {Names: []string{"carol"}}}
	old, _ := policy.Parse("old", "allow all <-> all")
	now, _ := policy.Parse("new", "deny bob -> carol\nallow all <-> all")
	for c := range policy.Diff(old, now, members) {
		fmt.Println(members[c.A].Names[0], "to", members[c.B].Names[0], c.New)
	}
	// Output:
	// bob to carol denied by line 1: deny bob -> carol
}
