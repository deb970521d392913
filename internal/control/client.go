package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	maxAnswer = 64 << 20         // bytes of a document that are read
	askTime   = 10 * time.Second // for an answer
	renewTime = answerTime       // for one that others have to be asked for
)

// A Client asks the program behind a control socket. It is safe for concurrent
// use.
type Client struct {
	path  string
	owner *Owner
	http  http.Client
}

// NewClient returns a Client for the socket at path. It connects when it is
// first used.
func NewClient(path string) *Client { return newClientOf(path, OfClient) }

// NewRDVClient returns a Client for the socket of a rendezvous server.
func NewRDVClient(path string) *Client { return newClientOf(path, OfRDV) }

func newClientOf(path string, owner *Owner) *Client {
	return &Client{path: path, owner: owner, http: http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			},
			MaxIdleConns:           1,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true,
		},
	}}
}

// Close closes what the Client keeps open.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for the client's state. It returns the document as it was sent,
// too: a newer client may say more than a Status has.
func (c *Client) Status(ctx context.Context) (*Status, []byte, error) {
	body, program, err := c.ask(ctx, http.MethodGet, StatusPath, askTime)
	if err != nil {
		return nil, nil, err
	}
	s, err := parseStatus(body)
	if err != nil {
		return nil, nil, c.strange(program, err)
	}
	return s, body, nil
}

// Renew makes the client renew its certificate now.
func (c *Client) Renew(ctx context.Context) (*Renewal, error) {
	body, program, err := c.ask(ctx, http.MethodPost, RenewPath, renewTime)
	if err != nil {
		return nil, err
	}
	r := new(Renewal)
	if err = json.Unmarshal(body, r); err == nil && (r.Name == "" || r.Expires.IsZero()) {
		err = errors.New("name or time is missing")
	}
	if err != nil {
		return nil, c.strange(program, err)
	}
	return r, nil
}

// parseStatus reads a Status.
func parseStatus(b []byte) (*Status, error) {
	s := new(Status)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, err
	}
	if s.Version == "" || s.Time.IsZero() {
		return nil, errIncomplete
	}
	return s, nil
}

// ask asks for the document at a path of the server, and returns it and the program
// that has answered.
func (c *Client) ask(ctx context.Context, method, path string, limit time.Duration) (body []byte, program string, err error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, method, "http://campagnol"+path, nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, "", c.unreachable(err, limit)
	}
	defer resp.Body.Close()
	if body, err = readAnswer(resp); err != nil {
		return nil, "", c.unreachable(err, limit)
	}
	program = resp.Header.Get("Server")
	switch {
	case len(body) > maxAnswer:
		return nil, "", c.strange(program, errors.New("the answer is too large"))
	case resp.StatusCode != http.StatusOK:
		return nil, "", c.refused(resp.StatusCode, program, body)
	}
	return body, program, nil
}

// readAnswer returns the body of an answer, or one byte more than there may be of it.
func readAnswer(resp *http.Response) ([]byte, error) {
	var b bytes.Buffer
	if n := resp.ContentLength; n > 0 && n <= maxAnswer {
		b.Grow(int(n) + bytes.MinRead) // and it is never copied
	}
	_, err := b.ReadFrom(io.LimitReader(resp.Body, maxAnswer+1))
	return b.Bytes(), err
}

// unreachable returns the error for people when nobody has answered.
func (c *Client) unreachable(err error, limit time.Duration) error {
	e := &Error{Err: err}
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, fs.ErrNotExist):
		e.Text = fmt.Sprintf("no client runs with the control socket %s", c.path)
		e.Advice = "start the client; if it runs with another control_socket, name that with --socket"
	case isRefused(err):
		e.Text = fmt.Sprintf("the client of the control socket %s does not run any more", c.path)
		e.Advice = "start it again; its log may say why it has ended"
	case errors.Is(err, fs.ErrPermission):
		e.Text = fmt.Sprintf("no permission to use the control socket %s", c.path)
		e.Advice = whoMay(c.path)
	default:
		e.Text = fmt.Sprintf("the client of the control socket %s does not answer: %v", c.path, cause(err, limit))
		e.Advice = "its log may say what it is busy with"
	}
	return c.owner.reword(e)
}

// cause returns err without what the HTTP library has put around it: method and
// URL are our own affair.
func cause(err error, limit time.Duration) error {
	var t interface{ Timeout() bool }
	if errors.As(err, &t) && t.Timeout() {
		return fmt.Errorf("nothing came within %v", limit)
	}
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// refused returns the error that the server has answered with.
func (c *Client) refused(status int, program string, body []byte) error {
	e := &Error{Status: status}
	if json.Unmarshal(body, e) != nil || e.Text == "" || !strings.HasPrefix(program, c.owner.program) || status == http.StatusNotFound {
		return c.strange(program, fmt.Errorf("it answers with status %d", status))
	}
	return e
}

// strange returns the error for an answer that we cannot read.
func (c *Client) strange(program string, err error) error {
	version, ours := strings.CutPrefix(program, c.owner.program)
	if !ours {
		return c.owner.reword(&Error{Err: err, Text: fmt.Sprintf("what listens on %s is not a campagnol client: %v", c.path, err),
			Advice: "name the control socket of a client with --socket"})
	}
	return c.owner.reword(&Error{Err: err,
		Text:   fmt.Sprintf("the client of the control socket %s is of version %s, whose answer this program cannot read: %v", c.path, version, err),
		Advice: "use the campagnol program of that version, or restart the client with this one"})
}
