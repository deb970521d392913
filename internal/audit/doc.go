// Package audit keeps a program's audit trail: a record of who was let in and who was
// not, and of what was changed, apart from the log. docs/audit.md is for its readers.
//
//	events of client and server ─▶ Record ─▶ limits ─▶ queue ─▶ Run ─▶ file, syslog
//	log records with a Mark ─▶ Handler ─┘    (lost: counted)            or the journal
//
// A [Trail] is made at the start of a program, writes nowhere until it is opened, and
// never holds up who tells it something: what does not fit into its queue is counted,
// and the trail says so itself when it goes on.
//
// What somebody who is not authenticated can cause is bounded: of events of one kind
// and from one source the first ones are written at once, and then one record a minute
// with their number. Of sources so many are told apart, and the others are one.
//
// Events that the log tells already, where nothing else does, reach the trail by a
// [Mark] of the log record: what is logged stays in one place.
package audit
