// Package stun is as much of STUN (RFC 8489) and of its NAT behaviour discovery
// (RFC 5780) as Campagnol speaks: binding requests without credentials, and the
// answers to them.
//
//	request                          answer
//	  CHANGE-REQUEST                   XOR-MAPPED-ADDRESS   where the request came from
//	  RESPONSE-PORT                    RESPONSE-ORIGIN      where the answer comes from
//	  SOFTWARE, FINGERPRINT            OTHER-ADDRESS        the server's other address and port
//	                                   OTHER-PORT           its other port, if it has one address
//	                                   SOFTWARE, FINGERPRINT  if the request has them
//	                                   ERROR-CODE, UNKNOWN-ATTRIBUTES
//
// RFC 5780 forbids OTHER-ADDRESS to a server with a single address: a client that
// compares what two addresses see would compare an address with itself. A second
// port alone still tells most NATs apart. A server of ours names it in an attribute
// that others skip, OTHER-PORT: two bytes of port and two of zeros.
//
// Messages are made and taken apart by github.com/pion/stun. The attributes of what
// strangers send are counted and measured before, so that garbage costs no memory.
package stun
