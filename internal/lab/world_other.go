//go:build !linux

package lab

import "context"

func newKernelWorld(DemoOptions) (world, error) { return nil, ErrUnsupported }

func newGridKernel(context.Context, *GridOptions) (func(context.Context, GridCell) GridResult, func(), error) {
	return nil, nil, ErrUnsupported
}

// Preflight reports why no lab can be made here.
func Preflight() error { return ErrUnsupported }

// Sweep removes what labs have left behind; here there are none.
func Sweep(bool) (Swept, error) { return Swept{}, ErrUnsupported }
