package lab

import (
	"fmt"

	"golang.org/x/net/bpf"
)

// What a filter returns: how much of the frame is wanted.
const (
	keepFrame = 1 << 18
	skipFrame = 0
)

// Offsets in a frame without tags.
const (
	bpfEtherType = 12
	bpfNetwork   = 14
)

// FilterGroups lets through what is for more than one network card: broadcasts
// and multicasts.
func FilterGroups() []bpf.RawInstruction {
	return assemble(
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 1, SkipFalse: 1},
		bpf.RetConstant{Val: keepFrame},
		bpf.RetConstant{Val: skipFrame},
	)
}

// FilterUDP lets UDP datagrams through which have the given port at one end or
// the other, over IPv4 and IPv6. Port 0 is any. Of fragments, it lets the first
// one through. With the port of a tunnel it counts what the tunnel costs.
func FilterUDP(port uint16) []bpf.RawInstruction {
	ports := func(load func(off uint32) bpf.Instruction) []bpf.Instruction {
		if port == 0 {
			return []bpf.Instruction{bpf.RetConstant{Val: keepFrame}}
		}
		return []bpf.Instruction{
			load(0),
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port), SkipTrue: 2},
			load(2),
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(port), SkipTrue: 1},
			bpf.RetConstant{Val: keepFrame},
			bpf.RetConstant{Val: skipFrame},
		}
	}
	v4 := append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: bpfNetwork + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 17, SkipTrue: 1},
		bpf.RetConstant{Val: skipFrame},
		bpf.LoadAbsolute{Off: bpfNetwork + 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipFalse: 1},
		bpf.RetConstant{Val: skipFrame},
		bpf.LoadMemShift{Off: bpfNetwork}, // the length of the header, to X
	}, ports(func(off uint32) bpf.Instruction { return bpf.LoadIndirect{Off: bpfNetwork + off, Size: 2} })...)
	v6 := append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: bpfNetwork + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 17, SkipTrue: 1},
		bpf.RetConstant{Val: skipFrame},
	}, ports(func(off uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: bpfNetwork + 40 + off, Size: 2} })...)
	all := append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: bpfEtherType, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x0800, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x86dd, SkipTrue: uint8(1 + len(v4))},
		bpf.RetConstant{Val: skipFrame},
	}, v4...)
	return assemble(append(all, v6...)...)
}

// assemble encodes a program of this file, which is known to be correct.
func assemble(program ...bpf.Instruction) []bpf.RawInstruction {
	raw, err := bpf.Assemble(program)
	if err != nil {
		panic(fmt.Sprintf("lab: filter: %v", err))
	}
	return raw
}
