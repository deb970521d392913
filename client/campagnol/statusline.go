package main

import (
	"context"
	"fmt"
	"strings"

	"campagnol/client"
)

// statusLine returns how the client is, for a service manager to show people.
func (n *node) statusLine(ctx context.Context) string {
	status, err := n.view.Load().client.Status(ctx)
	if err != nil {
		return "" // it ends, or is stuck, which alive tells
	}
	return lineOf(status)
}

// lineOf says how a client is in a line.
func lineOf(s client.Status) string {
	var names []string
	for _, r := range s.RDVs {
		if r.Registered {
			names = append(names, r.Name)
		}
	}
	at := "Not registered with any rendezvous server"
	if len(names) > 0 {
		at = "Registered with " + strings.Join(names, ", ")
	}
	open := 0
	for _, p := range s.Peers {
		if p.State == "ESTABLISHED" {
			open++
		}
	}
	if open == 1 {
		return at + "; 1 tunnel is open"
	}
	return fmt.Sprintf("%s; %d tunnels are open", at, open)
}
