package record

// Limits bound the use of one key: of one direction of one handshake.
//
// RFC 9147 section 4.5.3 sets them for DTLS 1.3, and what it says of an AEAD
// holds for the same AEAD in DTLS 1.2, whose own documents name none. What
// differs is where the nonces come from. Here a nonce is the epoch and the 48-bit
// sequence number, in clear behind a salt (RFC 5288 section 3) or mixed with an
// IV (RFC 7905 section 2): it is unique as long as the number does not wrap, by
// construction and not by chance, so that none of the bounds for random nonces
// applies. But no more than 2^48 records can be sealed, and DTLS 1.2 has no
// message that changes a key in place: only another handshake makes fresh ones.
type Limits struct {
	// Records is how many may be sealed: the sequence numbers, but for some
	// that stay for alerts.
	Records uint64

	// Blocks is how many blocks of 16 bytes may be sealed, for confidentiality.
	// The 2^24.5 records of RFC 8446 section 5.5, to which RFC 9147 refers, are
	// of 2^14 bytes, and stand for 2^34.5 blocks; RFC 9001 appendix B.1 makes
	// the same of it for shorter packets. ChaCha20-Poly1305 has no such limit
	// below that of the numbers.
	Blocks uint64

	// Forgeries is how many records may fail authentication. Whoever can write
	// the peer's address on a datagram can make them, and DTLS does not end a
	// session for it, so each is one more guess at a tag.
	Forgeries uint64
}

const (
	// spare are the sequence numbers that are left when a session has to end: for
	// what is sent until somebody has noticed, and to close it properly.
	spare = 1 << 20

	gcmBlocks    = 1 << 34 // of 2^34.5
	maxForgeries = 1 << 36
	noLimit      = 1<<64 - 1
)

// Limits returns those of a key of the suite.
func (s Suite) Limits() Limits {
	l := Limits{Records: maxSeq + 1 - spare, Blocks: gcmBlocks, Forgeries: maxForgeries}
	if s == ECDHE_RSA_CHACHA20_POLY1305 || s == ECDHE_ECDSA_CHACHA20_POLY1305 {
		l.Blocks = noLimit
	}
	return l
}
