package udp

import "golang.org/x/sys/unix"

// errNoNet is what an ICMP "source host isolated" becomes.
const errNoNet = unix.ENONET
