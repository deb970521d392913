//go:build long

package main

func init() { roamModes, roamRounds = []string{"strict", "open"}, 100 }
