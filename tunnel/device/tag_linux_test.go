package device

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// pushTags makes the kernel put n VLAN tags into each frame that leaves by the
// interface, as n VLAN interfaces on top of each other do, which not every kernel
// has. Their number is 0, which says that they carry a priority only: the receiver
// takes such frames for its own without an interface for that VLAN.
func pushTags(k *Kernel, n int) error {
	fd, err := loadBPF(tagProgram(n))
	if err != nil {
		return fmt.Errorf("load a BPF program: %w", err)
	}
	defer unix.Close(fd) // the filter keeps it
	err = k.nl.QdiscAdd(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: k.index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
		QdiscType:  "clsact",
	})
	if err != nil {
		return fmt.Errorf("add a clsact queue: %w", err)
	}
	return k.nl.FilterAdd(&netlink.BpfFilter{
		FilterAttrs:  netlink.FilterAttrs{LinkIndex: k.index, Parent: netlink.HANDLE_MIN_EGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
		Fd:           fd,
		Name:         "tag",
		DirectAction: true,
	})
}

// tagProgram returns a BPF program that pushes n tags, the last one pushed being of
// type 802.1ad, as providers do, if there are several.
func tagProgram(n int) (program []byte) {
	const (
		move, moveNumber, call, exit = 0xbf, 0xb7, 0x85, 0x95
		vlanPush                     = 18
		priority                     = 5 << 13
	)
	add := func(code, dst, src byte, value int32) {
		program = append(program, code, dst|src<<4, 0, 0)
		program = binary.NativeEndian.AppendUint32(program, uint32(value))
	}
	add(move, 6, 1, 0) // the packet, which calls do not keep
	for i := range n {
		tag := uint16(unix.ETH_P_8021Q)
		if i > 0 && i == n-1 {
			tag = unix.ETH_P_8021AD
		}
		add(move, 1, 6, 0)
		add(moveNumber, 2, 0, int32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, tag))))
		add(moveNumber, 3, 0, priority)
		add(call, 0, 0, vlanPush)
	}
	add(moveNumber, 0, 0, 0) // go on
	add(exit, 0, 0, 0)
	return program
}

// loadBPF gives a program for the traffic of an interface to the kernel and returns
// its descriptor.
func loadBPF(program []byte) (int, error) {
	const progLoad, schedCLS = 5, 3
	license := []byte("none\x00")
	attr := struct {
		kind, count      uint32
		program, license uint64
		_                [2]uint32
		log              uint64
		_                [18]uint32
	}{kind: schedCLS, count: uint32(len(program) / 8)}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&program[0])
	pin.Pin(&license[0])
	attr.program = uint64(uintptr(unsafe.Pointer(&program[0])))
	attr.license = uint64(uintptr(unsafe.Pointer(&license[0])))
	fd, _, errno := unix.Syscall(unix.SYS_BPF, progLoad, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}
