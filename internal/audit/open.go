package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"campagnol/internal/journal"
	"campagnol/internal/logging"
)

// The places that are no files.
const (
	ToSyslog  = "syslog"
	ToJournal = "journal"
)

// A Place says where records go.
type Place struct {
	// Where is the path of a file, [ToSyslog] or [ToJournal]; "": nowhere.
	Where string

	// Group is the name or number of the group that may read a file that is made;
	// empty: that of the process.
	Group string
}

// An Error says why there is no audit log.
type Error struct {
	Text, Advice string
	Err          error // the cause; may be nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return "audit log: " + e.Text + ": " + e.Err.Error()
	}
	return "audit log: " + e.Text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns what to do about it; it may be empty.
func (e *Error) Hint() string { return e.Advice }

// DefaultFolder is the folder that packages have for audit logs, and FolderMode the mode of
// one that is made.
const (
	DefaultFolder = "/var/log/campagnol"
	FolderMode    = 0o750
)

// NewFolder reports whether the folder of p's file is not there yet.
func (p Place) NewFolder() bool {
	if p.File() == "" {
		return false
	}
	_, err := os.Lstat(filepath.Dir(p.File()))
	return errors.Is(err, fs.ErrNotExist)
}

// File returns the path of p's file; "": it is none.
func (p Place) File() string {
	if p.Where == ToSyslog || p.Where == ToJournal {
		return ""
	}
	return p.Where
}

// Check reports what is wrong with the text of p.
func (p Place) Check() error {
	if file := p.File(); file != "" && !strings.ContainsAny(file, `/\`) || strings.HasSuffix(p.Where, "/") {
		return &Error{Text: fmt.Sprintf("%q is no place for it", p.Where),
			Advice: "give the path of a file, with a slash in it, or syslog, or journal"}
	}
	return nil
}

// Open writes records to a place from now on. After an error all stays as it was. The
// log is told when records cannot be written.
func (t *Trail) Open(p Place, log *slog.Logger) error {
	if t == nil || p.Where == "" && !t.open.Load() {
		return nil
	}
	to, err := p.open(t.program)
	if err != nil {
		return err
	}
	return t.use(to, log)
}

// open opens a place for a program; nil: it is none.
func (p Place) open(program string) (sink, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	switch p.Where {
	case "":
		return nil, nil
	case ToSyslog:
		return &syslogSink{logging.NewSyslogSender(identifier(program), logging.FacilityAuthPriv)}, nil
	case ToJournal:
		s, err := journal.Dial(journal.Socket)
		if err != nil {
			return nil, &Error{Text: "there is no journal", Err: err, Advice: "without systemd use syslog, or a file"}
		}
		return &journalSink{s: s, program: program}, nil
	}
	f, err := openFile(p.Where, p.Group)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Write writes records at once, for a command that does something and ends.
func Write(program string, p Place, records ...Record) error {
	to, err := p.open(program)
	if to == nil || err != nil {
		return err
	}
	for _, r := range records {
		if r.Time.IsZero() {
			r.Time = time.Now()
		}
		if err = to.write(&r, r.Append(nil, program)); err != nil {
			break
		}
	}
	return errors.Join(err, to.close())
}

// identifier returns how log daemons know a program's trail.
func identifier(program string) string { return strings.ReplaceAll(program, " ", "_") + "-audit" }

// A syslogSink sends records to the system's log.
type syslogSink struct{ s sender }

// A sender is a [logging.SyslogSender].
type sender interface {
	Send(now time.Time, severity int, text string) bool
	Close() error
}

// errUnsent is that the log daemon has not taken a record.
var errUnsent = errors.New("the system's log daemon does not take it")

func (s *syslogSink) write(r *Record, text []byte) error {
	if !s.s.Send(r.Time, severity(r), strings.TrimSuffix(string(text), "\n")) {
		return errUnsent
	}
	return nil
}

func (s *syslogSink) renew() error { return nil }
func (s *syslogSink) close() error { return s.s.Close() }

// severity returns how urgent a record is for syslog and the journal (RFC 5424 section
// 6.2.1): a notice if all is well, and else a warning.
func severity(r *Record) int {
	if r.outcome() != Success || r.Event == CertificateExpires {
		return 4
	}
	return 5
}

// A journalSink sends records to systemd's journal.
type journalSink struct {
	s       *journal.Sender
	program string
}

func (s *journalSink) write(r *Record, text []byte) error {
	return s.s.Send(fieldsOf(r, s.program, strings.TrimSuffix(string(text), "\n")))
}

func (s *journalSink) renew() error { return nil }
func (s *journalSink) close() error { return s.s.Close() }

// fieldsOf returns the fields of a record, of which text is the line.
func fieldsOf(r *Record, program, text string) []journal.Field {
	fields := []journal.Field{
		{Name: "MESSAGE", Value: r.Summary()},
		{Name: "PRIORITY", Value: strconv.Itoa(severity(r))},
		{Name: "SYSLOG_FACILITY", Value: strconv.Itoa(logging.FacilityAuthPriv)},
		{Name: "SYSLOG_IDENTIFIER", Value: identifier(program)},
		{Name: "SYSLOG_TIMESTAMP", Value: r.Time.Format(time.RFC3339Nano)},
		{Name: "CAMPAGNOL_AUDIT", Value: text},
	}
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, journal.Field{Name: "CAMPAGNOL_" + name, Value: bounded(value)})
		}
	}
	add("EVENT", string(r.Event))
	add("OUTCOME", string(r.outcome()))
	add("NAME", r.Name)
	add("SERIAL", r.Serial)
	add("KEY", r.Key)
	if r.VPNAddr.IsValid() {
		add("VPN_ADDRESS", r.VPNAddr.String())
	}
	if r.Peer.IsValid() {
		add("PEER", r.Peer.String())
	}
	add("FROM", place(r.From))
	add("CODE", r.Code)
	if r.Caller != nil {
		add("UID", strconv.Itoa(r.Caller.UID))
	}
	return fields
}
