package main

import (
	"net/http"

	"campagnol/internal/control"
)

// bugReport answers a request for what helps to find out what is wrong.
func (n *node) bugReport(r *http.Request) (any, error) {
	return nil, &control.Error{Status: http.StatusNotFound}
}
