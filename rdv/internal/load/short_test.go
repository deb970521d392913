//go:build !long

package load

const long = false
