//go:build long

package main

import "time"

func init() { darkness = 45 * time.Second }
