//go:build !purego

#include "textflag.h"

// func sumAVX2(p *byte, n int) uint64
//
// It widens each 32-bit word to 64 bits by interleaving it with zeros and adds
// it to one of four vectors of four sums. No sum can overflow: a packet has far
// fewer than 2^32 words.
TEXT ·sumAVX2(SB), NOSPLIT, $0-24
	MOVQ  p+0(FP), SI
	MOVQ  n+8(FP), CX
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	VPXOR Y7, Y7, Y7

loop:
	VMOVDQU    (SI), Y4
	VMOVDQU    32(SI), Y5
	VPUNPCKLDQ Y7, Y4, Y6
	VPUNPCKHDQ Y7, Y4, Y8
	VPUNPCKLDQ Y7, Y5, Y9
	VPUNPCKHDQ Y7, Y5, Y10
	VPADDQ     Y6, Y0, Y0
	VPADDQ     Y8, Y1, Y1
	VPADDQ     Y9, Y2, Y2
	VPADDQ     Y10, Y3, Y3
	ADDQ       $64, SI
	SUBQ       $64, CX
	JNZ        loop

	VPADDQ       Y1, Y0, Y0
	VPADDQ       Y3, Y2, Y2
	VPADDQ       Y2, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDQ       X1, X0, X0
	VPEXTRQ      $1, X0, AX
	VMOVQ        X0, BX
	ADDQ         BX, AX
	MOVQ         AX, ret+16(FP)
	VZEROUPPER
	RET
