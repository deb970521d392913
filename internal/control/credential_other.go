//go:build !linux && !darwin && !freebsd

package control

import "errors"

// socketCredential is not possible here.
func socketCredential(int) (credential, error) { return credential{}, errors.ErrUnsupported }
