package client

import (
	"campagnol/punch/simnet"
	"campagnol/tunnel/record"
)

// What a record with a connection ID holds does not show, but how much.

// isSealed reports whether a datagram is a protected record, of data or of what does
// not show.
func isSealed(p simnet.Packet) bool {
	return p.Kind == simnet.KindData || p.Kind == simnet.KindConnectionID
}

// isAlert reports whether a datagram is an alert. Nothing else that is protected has
// two bytes.
func isAlert(p simnet.Packet) bool {
	const alert = 2
	return p.Kind == simnet.KindAlert ||
		p.Kind == simnet.KindConnectionID && len(p.Data) == record.ECDHE_ECDSA_AES128_GCM.Overhead()+record.IDLen+1+alert
}

// wordFor returns what a datagram is.
func wordFor(p simnet.Packet) string {
	if isAlert(p) {
		return simnet.KindAlert.String()
	}
	return p.Kind.String()
}
