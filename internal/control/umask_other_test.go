//go:build !unix

package control

func withUmask(int) func() { return func() {} }
