package ca

import (
	"context"

	"campagnol/internal/audit"
)

// marked returns a context for a record of the log that belongs into the audit trail.
func marked(event audit.Event, outcome audit.Outcome) context.Context {
	return audit.Mark(context.Background(), audit.Record{Event: event, Outcome: outcome})
}
