package rdv

// Counters counts the messages that a Registry did not answer although the
// sender may have expected it. The counts only grow.
type Counters struct {
	Address    uint64 // the sender has no address, or no port
	Unexpected uint64 // the message is not for a server
	Limited    uint64 // too many answers to unregistered endpoints of one network
	Clear      uint64 // messages in clear from the endpoint of a client with a channel
	Denied     uint64 // HELLOs that the mode refuses
	Unheard    uint64 // INTRODUCEs and NOTICEs that were never answered
	Greedy     uint64 // FETCHes beyond a member's share, or of all members together
	Deferred   uint64 // requests to the authority over a limit
	Unanswered uint64 // requests to the authority that it did not answer

	// And what it did do.
	Notices  uint64 // sent
	Chunks   uint64 // sent
	Applied  uint64 // requests that were passed to the authority
	Answered uint64 // and its answers
	Lists    uint64 // pieces of the list of members, sent
	Grants   uint64 // credentials for the relay

}
