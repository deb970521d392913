//go:build long

package main

func init() { hardRounds = 100 }
