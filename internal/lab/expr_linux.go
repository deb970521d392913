package lab

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers of the nftables machine, of four bytes each. They follow each
// other, so that a key of an address and a port is built in two steps. (Ports
// take a register of their own; the rest of it is zero.)
const (
	reg0 = unix.NFT_REG32_00
	reg1 = unix.NFT_REG32_01
	reg2 = unix.NFT_REG32_02
)

// An exprs is a piece of a rule: expressions that are evaluated in order until
// one does not hold. Rules are made by joining pieces.
type exprs []expr.Any

// rule joins pieces.
func rule(pieces ...exprs) []expr.Any {
	var all []expr.Any
	for _, p := range pieces {
		all = append(all, p...)
	}
	return all
}

// equals holds if a register has the given content.
func equals(register uint32, content []byte) exprs {
	return exprs{&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: content}}
}

// meta loads what the kernel knows about a packet.
func meta(key expr.MetaKey, register uint32) exprs {
	return exprs{&expr.Meta{Key: key, Register: register}}
}

// ifname is the name of an interface as the kernel compares it.
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b[:unix.IFNAMSIZ-1], name)
	return b
}

// from and to hold for packets that come in or go out through an interface.
// The names fill four registers.
func from(name string) exprs {
	return append(meta(expr.MetaKeyIIFNAME, unix.NFT_REG_1), equals(unix.NFT_REG_1, ifname(name))...)
}

func to(name string) exprs {
	return append(meta(expr.MetaKeyOIFNAME, unix.NFT_REG_1), equals(unix.NFT_REG_1, ifname(name))...)
}

// protocol holds for packets of an IP protocol, of either family.
func protocol(number uint8) exprs {
	return append(meta(expr.MetaKeyL4PROTO, reg0), equals(reg0, []byte{number})...)
}

// etherType holds for frames of a network protocol.
func etherType(t uint16) exprs {
	return append(meta(expr.MetaKeyPROTOCOL, reg0), equals(reg0, binaryutil.BigEndian.PutUint16(t))...)
}

// forUs holds for packets to an address of the namespace itself.
func forUs() exprs {
	return append(
		exprs{&expr.Fib{Register: reg0, ResultADDRTYPE: true, FlagDADDR: true}},
		equals(reg0, binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL))...,
	)
}

// Where addresses begin in the headers of IPv4 and IPv6, and ports in those of
// UDP and TCP.
const (
	offSource4, offDestination4 = 12, 16
	offSource6, offDestination6 = 8, 24
	offSourcePort, offDestPort  = 0, 2
)

// loadAddr4 and loadPort load parts of the headers.
func loadAddr4(offset, register uint32) exprs {
	return exprs{&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4, DestRegister: register}}
}

func loadPort(offset, register uint32) exprs {
	return exprs{&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2, DestRegister: register}}
}

// inPrefix holds if the address at one of two offsets, by family, is in p.
func inPrefix(p netip.Prefix, offset4, offset6 uint32) exprs {
	load := &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset4, Len: 4, DestRegister: unix.NFT_REG_1}
	if p.Addr().Is6() {
		load.Offset, load.Len = offset6, 16
	}
	net := ipNet(p.Masked())
	return exprs{
		load,
		&expr.Bitwise{
			SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: load.Len,
			Mask: net.Mask, Xor: make([]byte, load.Len),
		},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: net.IP},
	}
}

// Bits of ct status (enum ip_conntrack_status of the kernel).
const ctStatusDestinationNAT = 1 << 5

// ctHas holds if any of the given bits of a connection's state or status is
// set.
func ctHas(key expr.CtKey, bits uint32) exprs {
	return exprs{
		&expr.Ct{Key: key, Register: reg0},
		&expr.Bitwise{
			SourceRegister: reg0, DestRegister: reg0, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: make([]byte, 4)},
	}
}

// answers holds for packets that belong to a flow the NAT knows, and for the
// ICMP errors about them.
func answers() exprs {
	return ctHas(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

// lossScale is how finely loss can be set.
const lossScale = 1_000_000

// chance holds for a random part of packets, of millionths.
func chance(millionths uint32) exprs {
	return exprs{
		&expr.Numgen{Register: reg0, Modulus: lossScale, Type: unix.NFT_NG_RANDOM},
		// Numbers are compared byte by byte from the first.
		&expr.Byteorder{SourceRegister: reg0, DestRegister: reg0, Op: expr.ByteorderHton, Len: 4, Size: 4},
		&expr.Cmp{Op: expr.CmpOpLt, Register: reg0, Data: binaryutil.BigEndian.PutUint32(millionths)},
	}
}

// remember adds the key in the registers from reg0 to a map, with the value in
// a register, or renews its lifetime.
func remember(m *nftables.Set, value uint32) exprs {
	return exprs{&expr.Dynset{
		SrcRegKey: reg0, SrcRegData: value,
		SetName: m.Name, SetID: m.ID,
		Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: m.Timeout,
	}}
}

// recall holds if a map has the key in the registers from reg0, and loads its
// value.
func recall(m *nftables.Set, value uint32) exprs {
	return exprs{&expr.Lookup{SourceRegister: reg0, DestRegister: value, IsDestRegSet: true, SetName: m.Name, SetID: m.ID}}
}

// counted counts the packets that got so far.
func counted() exprs { return exprs{&expr.Counter{}} }

// accept and drop end the rule.
func accept() exprs { return exprs{&expr.Verdict{Kind: expr.VerdictAccept}} }
func drop() exprs   { return exprs{&expr.Verdict{Kind: expr.VerdictDrop}} }

// jump goes on with another chain of the table, and comes back.
func jump(chain string) exprs {
	return exprs{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

// counterOf returns what a rule has counted.
func counterOf(r *nftables.Rule) (packets, bytes uint64) {
	i := slices.IndexFunc(r.Exprs, func(e expr.Any) bool { _, ok := e.(*expr.Counter); return ok })
	if i < 0 {
		return 0, 0
	}
	c := r.Exprs[i].(*expr.Counter)
	return c.Packets, c.Bytes
}

// masquerade gives a flow the outer address, and its own port if that is free
// or else a random one.
func masquerade(random bool) exprs {
	return exprs{&expr.Masq{Random: random, FullyRandom: random}}
}

// The outer ports of a NAT that hands them out in turn.
const (
	firstTurnPort = 20_000
	turnPorts     = 40_000
)

// nextPort loads a port that is the next one for each flow. (The chains of a NAT see a
// flow once.) The number is in the order of the host, and ports are in that of the
// network, in the first half of the register: where the lab runs, on machines whose
// least byte is first, that is one swap.
func nextPort(register uint32) exprs {
	return exprs{
		&expr.Numgen{Register: register, Modulus: turnPorts, Type: unix.NFT_NG_INCREMENTAL, Offset: firstTurnPort},
		&expr.Byteorder{SourceRegister: register, DestRegister: register, Op: expr.ByteorderHton, Len: 2, Size: 2},
	}
}

// load puts a constant into a register.
func load(register uint32, content []byte) exprs {
	return exprs{&expr.Immediate{Register: register, Data: content}}
}

// sourceNAT gives a flow the address and the port in two registers.
func sourceNAT(addr, port uint32) exprs {
	return exprs{&expr.NAT{
		Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4,
		RegAddrMin: addr, RegProtoMin: port, Specified: true,
	}}
}

// destinationNAT sends a flow to the address in a register.
func destinationNAT(register uint32) exprs {
	return exprs{&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: register}}
}
