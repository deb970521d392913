package main

import "campagnol/internal/metrics"

// serverMetrics are the families of metrics of the server. docs/metrics.md explains
// them in this order.
var serverMetrics metrics.Table

var (
	mServing    = serverMetrics.Gauge("campagnol_rdv_serving", "Whether the server does its work; without it the rest may be old.")
	mClients    = serverMetrics.Gauge("campagnol_rdv_clients", "Registered clients, by how they have registered.", "kind")
	mMaxClients = serverMetrics.Gauge("campagnol_rdv_clients_max", "How many clients can be registered (--max-clients); 0 is any number.")
	mChannels   = serverMetrics.Gauge("campagnol_rdv_channels", "Authenticated channels, those of authorities included.")
	mPairs      = serverMetrics.Gauge("campagnol_rdv_introduced_pairs", "Introductions that are remembered.")
	mIntroduced = serverMetrics.Counter("campagnol_rdv_introductions_total", "Clients that were told where another one is, by how.", "kind")
	mRefused    = serverMetrics.Counter("campagnol_rdv_refusals_total", "Requests of clients that were refused, by reason.", "reason")
	mPings      = serverMetrics.Counter("campagnol_rdv_pings_total", "Pings of clients that were answered.")

	mReceived = serverMetrics.Counter("campagnol_rdv_receive_datagrams_total", "Datagrams that came in, of any kind.")
	mSent     = serverMetrics.Counter("campagnol_rdv_transmit_datagrams_total", "Datagrams that were sent, without what is relayed.")
	mDropped  = serverMetrics.Counter("campagnol_rdv_dropped_total", "Messages that were received, or to be sent, in vain, by reason.", "reason")
	mSocket   = serverMetrics.Counter("campagnol_rdv_socket_dropped_datagrams_total", "Datagrams that the socket of a port did not take or give, by reason.", "port", "reason")
	mBuffer   = serverMetrics.Gauge("campagnol_rdv_socket_receive_buffer_bytes", "Size of the receive buffer of a port's socket, if it is known.", "port")
	mQueue    = serverMetrics.Gauge("campagnol_rdv_receive_queue_batches", "Batches of datagrams that are being handled, or wait for that.")
	mMaxQueue = serverMetrics.Gauge("campagnol_rdv_receive_queue_batches_max", "How many such batches there can be; then the sockets' buffers fill.")

	mKnocks     = serverMetrics.Counter("campagnol_rdv_knocks_total", "Strangers that were sent a cookie.")
	mHalfOpen   = serverMetrics.Gauge("campagnol_rdv_handshakes_running", "Handshakes that are under way.")
	mHandshakes = serverMetrics.Counter("campagnol_rdv_handshakes_total", "Handshakes that have ended, by how.", "result")
	mPutOff     = serverMetrics.Counter("campagnol_rdv_handshakes_put_off_total", "Clients that were told to come again later.")

	mNotices  = serverMetrics.Counter("campagnol_rdv_object_notices_total", "Notices of objects for all members, such as revocation lists, that were sent.")
	mChunks   = serverMetrics.Counter("campagnol_rdv_object_chunks_total", "Pieces of objects that were served.")
	mObjects  = serverMetrics.Counter("campagnol_rdv_objects_total", "Objects that the authority has sent, by what became of them.", "result")
	mLists    = serverMetrics.Counter("campagnol_rdv_member_lists_total", "Pieces of the list of members that were sent.")
	mBindings = serverMetrics.Counter("campagnol_rdv_stun_answers_total", "Answers to STUN requests.")

	mAuthority = serverMetrics.Gauge("campagnol_rdv_authority_reachable", "Whether the authority of the VPN can be asked, here or elsewhere.")
	mApplied   = serverMetrics.Counter("campagnol_rdv_authority_requests_total", "Requests of hosts that were passed to the authority.")
	mAnswered  = serverMetrics.Counter("campagnol_rdv_authority_answers_total", "Answers of the authority.")
)

// Of the relay.
var (
	mRelayed     = serverMetrics.Gauge("campagnol_rdv_relay_allocations", "Relayed addresses.")
	mMaxRelayed  = serverMetrics.Gauge("campagnol_rdv_relay_allocations_max", "How many relayed addresses there can be (--relay-clients).")
	mAllocated   = serverMetrics.Counter("campagnol_rdv_relay_allocations_total", "Relayed addresses that were given.")
	mRelayRefuse = serverMetrics.Counter("campagnol_rdv_relay_refused_allocations_total", "Relayed addresses that were refused, for one limit or another.")
	mRequests    = serverMetrics.Counter("campagnol_rdv_relay_requests_total", "Requests to the relay.")
	mGrants      = serverMetrics.Counter("campagnol_rdv_relay_credentials_total", "Credentials for the relay that members were given.")
	mRelayData   = serverMetrics.Counter("campagnol_rdv_relay_datagrams_total", "Datagrams that were relayed, by where they went.", "to")
	mRelayBytes  = serverMetrics.Counter("campagnol_rdv_relay_bytes_total", "Bytes of data that were relayed, both ways together.")
	mRelayDrops  = serverMetrics.Counter("campagnol_rdv_relay_dropped_total", "Requests and data that were not relayed, by reason.", "reason")
)

// Of certificates.
var (
	mCertExpiry = serverMetrics.Gauge("campagnol_rdv_certificate_expiry_timestamp_seconds", "When a certificate ends on which the server depends.", "kind", "name", "serial")
	mCRLNext    = serverMetrics.Gauge("campagnol_rdv_crl_next_update_timestamp_seconds", "Until when the revocation list of an authority says that it is good.", "authority")
	mCRLIssued  = serverMetrics.Gauge("campagnol_rdv_crl_issued_timestamp_seconds", "When the revocation list of an authority was made.", "authority")
	mCRLSize    = serverMetrics.Gauge("campagnol_rdv_crl_certificates", "Certificates on the revocation list of an authority.", "authority")

	mMemberLeft  = serverMetrics.Histogram("campagnol_rdv_member_certificate_remaining_seconds", "For how much longer the certificates of members with a channel are good, now.")
	mMemberFirst = serverMetrics.Gauge("campagnol_rdv_member_certificate_first_expiry_timestamp_seconds", "When the first of these certificates ends.")
)

// Of the audit trail.
var (
	mAuditRecords = serverMetrics.Counter("campagnol_rdv_audit_records_total", "Records that were written to the audit trail.")
	mAuditLost    = serverMetrics.Counter("campagnol_rdv_audit_lost_records_total", "Records of the audit trail that could not be written.")
)
