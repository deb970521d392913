//go:build !long

package client

// gridPart is of how many cells one is played.
const gridPart = 150
