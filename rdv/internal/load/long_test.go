//go:build long

package load

const long = true
