//go:build !purego

package segment

import (
	"math/bits"
	"os"

	"golang.org/x/sys/cpu"
)

// genericVariable is the environment variable that, set to anything, switches the
// assembly off.
const genericVariable = "CAMPAGNOL_GENERIC_CHECKSUM"

var useAVX2 = cpu.X86.HasAVX2 && os.Getenv(genericVariable) == ""

// sumAVX2 returns the sum of the 32-bit words of the n bytes at p, in the
// machine's order. n is a multiple of 64, and not 0.
//
//go:noescape
func sumAVX2(p *byte, n int) uint64

func addWords(b []byte, acc uint64) uint64 {
	if n := len(b) &^ 63; n >= 128 && useAVX2 {
		var carry uint64
		acc, carry = bits.Add64(acc, sumAVX2(&b[0], n), 0)
		acc, b = acc+carry, b[n:]
	}
	return addWordsGeneric(b, acc)
}
