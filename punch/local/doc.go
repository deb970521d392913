// Package local tells at which addresses this host is, and when that changes.
//
// [Look] returns the addresses at which others may reach the host, those first that
// the kernel sends from. A [Watcher] looks again whenever an address, an interface or a
// route changes, and notices that the host has slept: then the network may be another,
// NATs have forgotten it, and nobody has said so.
//
//	kernel ──any change──► wait for more ──► look ──another state──► report
//	clock  ──a gap──────────────────────────► look ──────────────────► report
//
// On Linux the kernel says that something has changed (rtnetlink). Elsewhere the
// addresses are looked at every few seconds.
package local
