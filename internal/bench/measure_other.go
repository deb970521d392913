//go:build !linux

package main

import (
	"context"
	"io"

	"campagnol/internal/lab"
)

func measure(context.Context, options, io.Writer) (*report, error) { return nil, lab.ErrUnsupported }
