package control

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// StatusJSON asks for the client's state, and returns it as it was sent, for those who
// want nothing else. With many peers, [Client.Status] takes longer to read the document
// than the client takes to write it. Only what every state begins with is looked at.
func (c *Client) StatusJSON(ctx context.Context) ([]byte, error) { return c.unread(ctx, StatusPath) }

// RDVClientsJSON asks a rendezvous server who is registered, likewise.
func (c *Client) RDVClientsJSON(ctx context.Context) ([]byte, error) {
	return c.unread(ctx, RDVClientsPath)
}

// unread asks for the document at a path, and does not decode it.
func (c *Client) unread(ctx context.Context, path string) ([]byte, error) {
	body, program, err := c.ask(ctx, http.MethodGet, path, askTime)
	if err != nil {
		return nil, err
	}
	if err := checkHead(body); err != nil {
		return nil, c.strange(program, err)
	}
	return body, nil
}

// checkHead looks whether an object has the version and the time that all documents of
// a state have, and reads no further than to the second of them.
func checkHead(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return cmp.Or(err, errIncomplete)
	}
	var version string
	var at time.Time
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		var value any = new(json.RawMessage)
		switch name, _ := key.(string); { // as json.Unmarshal compares names
		case strings.EqualFold(name, "version"):
			value = &version
		case strings.EqualFold(name, "time"):
			value = &at
		}
		if err := dec.Decode(value); err != nil {
			return err
		}
		if version != "" && !at.IsZero() {
			return nil
		}
	}
	return errIncomplete
}

// errIncomplete is for a document that lacks what each has.
var errIncomplete = errors.New("version or time is missing")
