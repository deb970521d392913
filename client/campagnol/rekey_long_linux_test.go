//go:build long

package main

import (
	"testing"
	"time"
)

// TestRekeyLong is TestRekey for a minute, at 500 Mbit/s if the machine can.
func TestRekeyLong(t *testing.T) { testRekey(t, 5*time.Second, time.Minute, 500e6) }
