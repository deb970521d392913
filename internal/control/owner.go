package control

import (
	"errors"
	"strings"
)

// An Owner is whose a socket is: errors for people name it, and what it is configured
// with.
type Owner struct {
	program string            // how the header "Server" begins
	words   *strings.Replacer // from those for a client
}

// The owners.
var (
	OfClient = &Owner{program: "campagnol/", words: strings.NewReplacer()}
	OfRDV    = &Owner{program: "campagnol_rdv/", words: strings.NewReplacer(
		"no client runs", "no rendezvous server runs",
		"a campagnol client", "a rendezvous server",
		"use the campagnol program", "use the campagnol_rdv program",
		"restart the client", "restart the server",
		"of a client", "of a rendezvous server",
		"The client", "The server",
		"the client", "the server",
		"set control_group in its configuration", "have it run with --control-group",
		"give control_group", "give --control-group",
		"or take the line out", "or leave it out",
		"control_socket", "--control-socket",
	)}
)

// reword returns e in the words for o.
func (o *Owner) reword(e *Error) *Error {
	e.Text, e.Advice = o.words.Replace(e.Text), o.words.Replace(e.Advice)
	return e
}

// rewordAny is reword for whatever error there is.
func (o *Owner) rewordAny(err error) error {
	var e *Error
	var used *InUseError
	switch {
	case errors.As(err, &e):
		o.reword(e)
	case o != OfClient && errors.As(err, &used):
		used.owner = o
	}
	return err
}
