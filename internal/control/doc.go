// Package control lets people and programs ask a client that runs: a socket of
// the file system (a unix socket) on which it speaks HTTP with JSON documents.
//
//	the client that runs                      campagnol status, scripts
//	 Listen(Config{Routes}) ── PATH.sock ──── NewClient(PATH).Status
//	 Serve                                    curl --unix-socket PATH …
//
// A [Server] knows the way, not the answers: a route is a [Handler] under
// "METHOD /path", and returns what is to be sent. The documents, such as
// [Status], are here, so that both ends agree on them; docs/control.md explains
// them.
//
// # Who may ask
//
// Root, the user that the program runs as, and, if it was configured, a group.
// The permissions of the socket say so, and the server looks again at who has
// connected, where the system tells (Linux, FreeBSD, macOS).
//
// Whoever may ask is still bounded: in connections, in the size of a request,
// and in the time that it may take.
package control
