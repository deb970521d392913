package audit

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"
)

// markKey is the key of a mark in a context.
type markKey struct{}

// Mark returns a context for a record of the log that belongs into the trail as well, as
// r says. What r lacks is taken from what the log is told by the usual keys:
//
//	log.InfoContext(audit.Mark(ctx, audit.Record{Event: audit.CertificateIssued}), …, "serial", serial)
func Mark(ctx context.Context, r Record) context.Context {
	return context.WithValue(ctx, markKey{}, r)
}

// Handler returns a handler that adds records of the log that are marked, and hands all on
// to next.
func (t *Trail) Handler(next slog.Handler) slog.Handler { return &handler{trail: t, next: next} }

// A handler looks for marks.
type handler struct {
	trail *Trail
	next  slog.Handler
	attrs []slog.Attr // of the logger
	group bool        // those to come are in a group, whose names mean something else
}

// Enabled reports whether a record is shown, or belongs into the trail.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	_, marked := ctx.Value(markKey{}).(Record)
	return marked || h.next.Enabled(ctx, level)
}

// Handle adds a record that is marked to the trail.
func (h *handler) Handle(ctx context.Context, rec slog.Record) error {
	if r, ok := ctx.Value(markKey{}).(Record); ok {
		if r.Time.IsZero() {
			r.Time = rec.Time
		}
		for _, a := range h.attrs {
			r.take(a)
		}
		if !h.group {
			rec.Attrs(func(a slog.Attr) bool {
				r.take(a)
				return true
			})
		}
		if r.Reason == "" && r.outcome() != Success {
			r.Reason = rec.Message
		}
		h.trail.Record(r)
	}
	if !h.next.Enabled(ctx, rec.Level) {
		return nil
	}
	return h.next.Handle(ctx, rec)
}

// WithAttrs returns a handler that adds attributes.
func (h *handler) WithAttrs(as []slog.Attr) slog.Handler {
	c := *h
	c.next = h.next.WithAttrs(as)
	if !h.group {
		c.attrs = append(slices.Clip(h.attrs), as...)
	}
	return &c
}

// WithGroup returns a handler that puts the attributes to come into a group.
func (h *handler) WithGroup(name string) slog.Handler {
	c := *h
	c.next, c.group = h.next.WithGroup(name), h.group || name != ""
	return &c
}

// take takes what an attribute says, if its key is one of those that mean the same
// everywhere, and it is not known yet.
func (r *Record) take(a slog.Attr) {
	v := a.Value.Resolve()
	if text := r.text(a.Key); text != nil {
		if *text == "" {
			*text = v.String()
		}
		return
	}
	switch what := v.Any().(type) {
	case netip.Addr:
		if (a.Key == "peer" || a.Key == "vpn") && !r.VPNAddr.IsValid() {
			r.VPNAddr = what
		}
	case netip.AddrPort:
		if (a.Key == "addr" || a.Key == "from") && !r.From.IsValid() {
			r.From = what
		}
	case []netip.Addr:
		if a.Key == "addresses" && r.Addresses == nil {
			for _, a := range what {
				r.Addresses = append(r.Addresses, a.String())
			}
		}
	default:
		if a.Key == "expires" && r.Expires.IsZero() {
			r.Expires = timeOf(v)
		}
	}
}

// text returns the text that attributes with a key are; nil: they are none.
func (r *Record) text(key string) *string {
	switch key {
	case "name":
		return &r.Name
	case "serial":
		return &r.Serial
	case "key":
		return &r.Key
	case "authority":
		return &r.Authority
	case "invitation":
		return &r.Invitation
	case "number":
		return &r.Number
	case "code":
		return &r.Code
	case "err", "reason":
		return &r.Reason
	}
	return nil
}

// timeOf returns a time that the log shows as such, or in one of its forms.
func timeOf(v slog.Value) time.Time {
	if v.Kind() == slog.KindTime {
		return v.Time()
	}
	for _, form := range []string{time.DateTime, time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(form, v.String()); err == nil {
			return at
		}
	}
	return time.Time{}
}
