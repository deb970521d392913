package main

import (
	"campagnol/client"
	"campagnol/internal/control"
)

// eventText says what has happened, for people.
func eventText(e *control.Event) string {
	peer := who(addrText(e.VPNAddress), e.Name)
	if !e.VPNAddress.IsValid() {
		peer = "the RDV server"
		if e.Address.IsValid() {
			peer += " " + printable(e.Address.String())
		}
	}
	why := ""
	if e.Reason != "" {
		why = ": " + printable(e.Reason)
	}
	switch client.EventKind(e.Kind) {
	case client.EventOpened:
		return "tunnel to " + peer + " opened, by " + printable(e.Address.String())
	case client.EventClosed:
		return "tunnel to " + peer + " closed" + why
	case client.EventMoved:
		return peer + " moved to " + printable(e.Address.String()) + " from " + printable(e.Before.String()) + why
	case client.EventFailed:
		return peer + " was not reached" + why
	case client.EventRefused:
		return peer + ", " + orDash(e.Code) + why
	case client.EventRegistered:
		return "registered at " + peer
	case client.EventUnregistered:
		return "not registered at " + peer + why
	case eventReloaded:
		return "the configuration was read again"
	case eventNotReloaded:
		return "the configuration cannot be used" + why
	}
	return printable(e.Kind) + " " + peer + why
}
