// Package policy says who may talk to whom in a VPN, who may relay for whom, and
// what packets may carry. The rendezvous server introduces only whom a policy
// lets talk, and peers hold each other to it: they know each other's names,
// addresses and groups from certificates, which nobody but the CA can make.
//
// # The language
//
//	# a comment
//	version 7
//	group admins  = alice, bob, 10.9.0.7
//	group servers = role:server, *.srv.example
//	default deny
//
//	allow admins <-> servers
//	deny  role:guest <-> 10.9.0.0/28
//	allow relay: admins <-> servers through hub1
//
//	filter admins -> servers: allow tcp/22, udp/53, icmp
//	filter all -> servers: deny
//
// A statement is a line; a line that ends with a comma goes on in the next one.
// Words of the language are in lower case, names in any.
//
//	statement = "version" NUMBER
//	          | "default" verb
//	          | "group" NAME "=" subjects
//	          | verb subjects arrow subjects
//	          | verb "relay" ":" subjects arrow subjects "through" subjects
//	          | "filter" subjects arrow subjects ":" verb [ service { "," service } ]
//	verb      = "allow" | "deny"
//	arrow     = "<->" | "->"
//	subjects  = subject { "," subject }
//	subject   = "all" | NAME | "*." NAME | '"' any name '"' | "role:" NAME | ADDRESS | NETWORK
//	service   = ("tcp" | "udp") [ "/" PORT [ "-" PORT ] ] | "icmp" | "icmpv6" | NUMBER
//
// A NAME is that of a group of the file, wherever in the file it is, or else that
// of a host. In quotes it is always that of a host.
//
// There are three lists of rules: about talking, relaying and filtering. In each
// the first rule from the top that speaks of a case decides it. What no rule
// speaks of is, for talking, what "default" says; without that line it is denied
// if there is a rule about talking, and allowed if there is none. Relaying that
// no rule allows is denied. Packets that no filter denies are allowed.
//
// # Cost
//
// A decision looks up what a member is and finds by that the rules that name it,
// as a set of bits: it takes about as long among a thousand rules as among ten.
// Nothing is remembered between decisions; a cache is the caller's.
package policy
