package control

import "time"

// An OCSP is what the responders of certificates have said.
type OCSP struct {
	Mode     string        `json:"mode"`
	Asked    uint64        `json:"asked"`
	Good     uint64        `json:"good"`
	Revoked  uint64        `json:"revoked"`
	Unknown  uint64        `json:"unknown"`
	Failed   uint64        `json:"failed"`
	Failures []OCSPFailure `json:"failures"`
}

// An OCSPFailure says why there was no good answer about a certificate.
type OCSPFailure struct {
	Certificate string    `json:"certificate"`
	Time        time.Time `json:"time"`
	Reason      string    `json:"reason"`
}
