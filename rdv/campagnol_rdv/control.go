package main

import (
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"

	"campagnol/internal/cli"
	"campagnol/internal/control"
	"campagnol/internal/service"
	"campagnol/internal/version"
	"campagnol/rdv"

	"github.com/spf13/pflag"
)

// noSocket is the value of --control-socket for none.
const noSocket = "none"

// controlOptions say where the control socket is, and who may use it.
type controlOptions struct {
	path  string // "": the usual one, if it can be made
	group string
}

func (o *controlOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.path, "control-socket", "", "answer \"campagnol_rdv status\" and the like on the socket `PATH`; none: nowhere\n(default "+control.RDVPath()+")")
	f.StringVar(&o.group, "control-group", "", "let the members of the group `NAME` use the control socket, beside root")
	cli.MarkNew(f, "control-socket", "control-group")
}

// open makes the socket. One that nobody has asked for need not be there: servers of the
// original, and several of ours on one host, did without.
func (o *controlOptions) open(obs *observer, s *service.Starting) (*looker, error) {
	if o.path == noSocket {
		return nil, nil
	}
	path := o.path
	if path == "" {
		path = control.RDVPath()
	}
	d := &documents{obs: obs, started: time.Now()}
	server, err := control.Listen(control.Config{
		Path: path, Group: o.group, Program: program + "/" + version.Version,
		Routes: d.routes(), Owner: control.OfRDV, Log: s.Log,
	})
	switch {
	case err == nil:
		return &looker{"control socket", server.Serve, server.Close}, nil
	case o.path != "" || o.group != "":
		return nil, err
	}
	s.Log.Debug("Going on without control socket", "err", err)
	return nil, nil
}

// documents answer the control socket.
type documents struct {
	obs     *observer
	started time.Time
}

func (d *documents) routes() map[string]control.Handler {
	return map[string]control.Handler{
		"GET " + control.RDVStatusPath:  d.status,
		"GET " + control.RDVClientsPath: d.clients,
		"GET " + control.RDVEventsPath:  d.events,
	}
}

// overview looks at the server for a request.
func (d *documents) overview(r *http.Request) (*rdv.Overview, error) {
	o, err := d.obs.Overview(r.Context())
	if errors.Is(err, rdv.ErrStopped) {
		return nil, &control.Error{Status: http.StatusServiceUnavailable, Err: err,
			Text: "the server is just being stopped", Advice: "ask again in a moment"}
	}
	return o, err
}

func (d *documents) status(r *http.Request) (any, error) {
	o, err := d.overview(r)
	if err != nil {
		return nil, err
	}
	_, last := d.obs.History().After(0, 0)
	s := statusOf(o)
	s.ProcessID, s.Started, s.LastEvent = os.Getpid(), d.started, last
	return s, nil
}

func (d *documents) clients(r *http.Request) (any, error) {
	o, err := d.overview(r)
	if err != nil {
		return nil, err
	}
	list := &control.RDVClients{Version: version.Version, Time: o.Time, Clients: make([]control.RDVClient, len(o.Clients))}
	for i := range o.Clients {
		list.Clients[i] = clientOf(&o.Clients[i])
	}
	return list, nil
}

// events answers with what has happened after an event. With wait it waits until
// something has.
func (d *documents) events(r *http.Request) (any, error) {
	var after uint64
	if text := r.FormValue("after"); text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, &control.Error{Status: http.StatusBadRequest, Text: "after is not the number of an event", Advice: "give a whole number; 0 is before all"}
		}
	}
	h := d.obs.History()
	if r.FormValue("wait") == "true" {
		select {
		case <-h.Changed(after):
		case <-time.After(control.MaxEventWait):
		case <-r.Context().Done():
		}
	}
	entries, last := h.After(after, maxEvents)
	list := &control.RDVEvents{Version: version.Version, Time: time.Now(), Last: last, Events: make([]control.RDVEvent, len(entries))}
	for i, e := range entries {
		list.Events[i] = eventOf(e)
	}
	return list, nil
}

// maxEvents is how many events an answer has, at most.
const maxEvents = 1024
