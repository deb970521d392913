package handshake

import "campagnol/tunnel/record"

// ClientHello returns the random of the ClientHello with which a datagram begins,
// and false if it begins with something else (RFC 6347 section 4.2.2, RFC 5246
// section 7.4.1.2). A client that repeats its ClientHello, or sends it again with
// a cookie, keeps its random; another handshake has another one.
func ClientHello(datagram []byte) (random [32]byte, ok bool) {
	const (
		clientHello   = 1
		messageHeader = 12 // of a handshake message in DTLS
		version       = 2
	)
	h, rec, _, err := record.Split(datagram)
	if err != nil || h.Epoch != 0 || h.Type != record.Handshake || h.Length < messageHeader+version+len(random) {
		return random, false
	}
	body := rec[record.HeaderLen:]
	copy(random[:], body[messageHeader+version:])
	return random, body[0] == clientHello
}
