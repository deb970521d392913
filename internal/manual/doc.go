// Package manual makes the manual pages, in mdoc, of what is written down anyhow: the
// texts and options of commands ([campagnol/internal/cli.Describe]), the table of keys
// of package conf, and the comments of campagnol.conf.example. What is nowhere else is
// in short files of mdoc, see [Prose].
//
//	Description ─┐
//	conf.Keys ───┼─► marker: words that mean something ─► sheet: sections ─► Page
//	example ─────┤   become macros
//	Prose ───────┘
//
// A program has a page, and each of its commands has one, with the commands below it:
// campagnol.8, campagnol-ca.8 and so on. The keys are campagnol.conf.5.
//
// Texts are written for terminals. What in them is an option, a placeholder, a path, a
// key, a signal or a command is found by how it looks; two blanks before a line keep it
// as it is, and "- " begins a point.
package manual
