package main

import (
	"campagnol/client"
	"campagnol/internal/control"
	"campagnol/internal/human"
)

// eventText says what has happened, for people.
func eventText(e *control.Event) string {
	peer := who(addrText(e.VPNAddress), e.Name)
	if !e.VPNAddress.IsValid() {
		peer = "the RDV server"
		if e.Address.IsValid() {
			peer += " " + human.Printable(e.Address.String())
		}
	}
	why := ""
	if e.Reason != "" {
		why = ": " + human.Printable(e.Reason)
	}
	switch client.EventKind(e.Kind) {
	case client.EventOpened:
		return "tunnel to " + peer + " opened, by " + human.Printable(e.Address.String())
	case client.EventClosed:
		return "tunnel to " + peer + " closed" + why
	case client.EventMoved:
		return peer + " moved to " + human.Printable(e.Address.String()) + " from " + human.Printable(e.Before.String()) + why
	case client.EventFailed:
		return peer + " was not reached" + why
	case client.EventRefused:
		return peer + ", " + human.OrDash(e.Code) + why
	case client.EventRegistered:
		return "registered at " + peer
	case client.EventUnregistered:
		return "not registered at " + peer + why
	case eventReloaded:
		return "the configuration was read again"
	case eventNotReloaded:
		return "the configuration cannot be used" + why
	}
	return human.Printable(e.Kind) + " " + peer + why
}
