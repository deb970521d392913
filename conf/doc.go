// Package conf is the configuration of both programs: the INI language of
// Campagnol 0.3.5, which files of that program rely on, and the typed
// settings that are read from it.
//
// [Parse] turns bytes into sections, keys and values and knows nothing of what
// they mean. [LoadClient] and [ParseClient] give them a meaning: they read a
// [Client]. [RDV] holds the settings of the rendezvous server, which has a
// command line but no file. The table behind [Keys] is the one home of names,
// types and defaults.
//
// A file with which the original works is accepted and means the same. What the
// original accepts in silence although it is most likely a mistake (an unknown
// key, a number with other text behind it, a comment that is none) is a warning
// here, with its line and column and with what to write instead.
//
// # The language
//
//	# a comment; one that starts with ';' is one too
//	[NETWORK]
//	server_host = rdv.example.org
//	server_port = "57888"            # a comment may follow a quoted value
//	[SECURITY]
//	dir         = /etc/campagnol
//	certificate = ${dir}/client.pem
//	[COMMANDS]
//	up = "ip link set %D up && " \
//	     "ip route add %N dev %D"
//
// A value consists of quoted and unquoted parts, which are joined without
// anything between them. A comment is recognised only where a part may start:
// at the start of a value, after a closing quote, and at the start of a
// continued line. In an unquoted part '#' and ';' are text. Blanks (space and
// tab) around names and unquoted parts are dropped. Lines end with LF or CRLF.
//
// A backslash at the end of a line continues an unquoted part on the next line,
// whose leading blanks are dropped, and a quoted part with its blanks. In names
// and values \\ \" \' \? \a \b \f \n \r \t \v \# \; \[ \] \= stand for one
// byte, and so do \x with one or two hexadecimal digits and \ with one to three
// octal digits; before anything else a backslash is text. A NUL byte ends the
// value.
//
// ${name} stands for the last value of name in the same section, wherever it
// is written; it is kept as it is when there is no such key. $$ stands for $.
// A section may be opened again. When a key is set more than once the last
// value counts; up and down keep all.
//
// A line that cannot be understood is a [Problem] and is skipped; the rest of
// the file is read.
package conf
