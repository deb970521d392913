package main

import "campagnol/internal/metrics"

// clientMetrics are the families of metrics of the client. docs/metrics.md explains
// them in this order. All but those of [metricsCollector.running] are read from one
// status.
var clientMetrics metrics.Table

var (
	mRunning = clientMetrics.Gauge("campagnol_running", "Whether the client has told its state; without it there are no other metrics of it.")

	mRegistered = clientMetrics.Gauge("campagnol_registered", "Whether the rendezvous server knows this client, and answers.", "rdv")
	mAuthentic  = clientMetrics.Gauge("campagnol_registration_authenticated", "Whether the client is registered over the authenticated channel, and not in clear.", "rdv")
	mUsed       = clientMetrics.Gauge("campagnol_registration_wanted", "Whether the client registers at the rendezvous server; else it is a spare.", "rdv")
	mRDVExpiry  = clientMetrics.Gauge("campagnol_registration_certificate_expiry_timestamp_seconds", "When the certificate that the rendezvous server has shown ends.", "rdv")

	mPeers       = clientMetrics.Gauge("campagnol_peers", "Peers by the state of the tunnel to them.", "state")
	mMaxPeers    = clientMetrics.Gauge("campagnol_peers_max", "How many peers there may be (max_clients).")
	mSessions    = clientMetrics.Gauge("campagnol_sessions", "Open tunnels, by the kind of their path.", "path")
	mHandshakes  = clientMetrics.Counter("campagnol_handshakes_total", "Handshakes with peers that have ended, by how.", "result")
	mRefusals    = clientMetrics.Counter("campagnol_refusals_total", "Refusals of peers and rendezvous servers by this client, and of it by them, by code.", "code")
	mRekeys      = clientMetrics.Counter("campagnol_rekeys_total", "Tries to get fresh keys for a tunnel, by how they have ended.", "result")
	mMoves       = clientMetrics.Counter("campagnol_path_moves_total", "Moves of tunnels to another path.")
	mPacketsIn   = clientMetrics.Counter("campagnol_receive_packets_total", "Packets that came through tunnels.")
	mBytesIn     = clientMetrics.Counter("campagnol_receive_bytes_total", "Bytes in packets that came through tunnels.")
	mPacketsOut  = clientMetrics.Counter("campagnol_transmit_packets_total", "Packets that went into tunnels.")
	mBytesOut    = clientMetrics.Counter("campagnol_transmit_bytes_total", "Bytes in packets that went into tunnels.")
	mDrops       = clientMetrics.Counter("campagnol_dropped_packets_total", "Packets and datagrams that went no further, by the part of the program and the reason.", "part", "reason")
	mUnreachable = clientMetrics.Gauge("campagnol_unreachable_peers", "Peers that were not reached when they were tried last.")
)

// Of each peer.
var (
	mPeerUp         = clientMetrics.Gauge("campagnol_peer_up", "Whether there is a tunnel to the peer; the peer is there, too, while one is being opened.", "peer")
	mPeerInfo       = clientMetrics.Gauge("campagnol_peer_info", "What there is to know about the tunnel to a peer; always 1.", "peer", "name", "path", "protocol", "cipher")
	mPeerRTT        = clientMetrics.Gauge("campagnol_peer_rtt_seconds", "Round trip time of the path to the peer.", "peer")
	mPeerPacketsIn  = clientMetrics.Counter("campagnol_peer_receive_packets_total", "Packets from the peer, in this tunnel.", "peer")
	mPeerBytesIn    = clientMetrics.Counter("campagnol_peer_receive_bytes_total", "Bytes in packets from the peer, in this tunnel.", "peer")
	mPeerPacketsOut = clientMetrics.Counter("campagnol_peer_transmit_packets_total", "Packets to the peer, in this tunnel.", "peer")
	mPeerBytesOut   = clientMetrics.Counter("campagnol_peer_transmit_bytes_total", "Bytes in packets to the peer, in this tunnel.", "peer")
	mPeerDrops      = clientMetrics.Counter("campagnol_peer_dropped_packets_total", "Packets and datagrams from the peer that went no further, in this tunnel.", "peer", "reason")
	mPeerMoves      = clientMetrics.Counter("campagnol_peer_path_moves_total", "Moves of this tunnel to another path.", "peer")
	mPeerRekeys     = clientMetrics.Counter("campagnol_peer_rekeys_total", "Tries to get fresh keys for this tunnel, by how they have ended.", "peer", "result")
	mPeerLastIn     = clientMetrics.Gauge("campagnol_peer_last_receive_timestamp_seconds", "When the last packet came from the peer.", "peer")
	mPeerMTU        = clientMetrics.Gauge("campagnol_peer_path_mtu_bytes", "Largest datagram on the path, where it is known to be small.", "peer")
	mPeerWaiting    = clientMetrics.Gauge("campagnol_peer_waiting_packets", "Packets that wait for the tunnel.", "peer")
)

// Of NATs.
var (
	mNAT         = clientMetrics.Gauge("campagnol_nat_info", "What is between this host and the Internet, if it was examined; always 1.", "mapping", "filtering", "ports")
	mNATHard     = clientMetrics.Gauge("campagnol_nat_hard", "Whether the NAT takes another port for each destination.")
	mNATBlocked  = clientMetrics.Gauge("campagnol_nat_blocked", "Whether nothing comes back from anywhere that was asked.")
	mHardTries   = clientMetrics.Counter("campagnol_hard_nat_attempts_total", "Tries to find a way through a hard NAT.")
	mHardSockets = clientMetrics.Counter("campagnol_hard_nat_sockets_total", "Sockets that were opened for that.")
	mHardProbes  = clientMetrics.Counter("campagnol_hard_nat_probes_total", "Packets that were sent for that.")
	mHardSuccess = clientMetrics.Counter("campagnol_hard_nat_successes_total", "Tunnels that came of that.")

	mMapping       = clientMetrics.Gauge("campagnol_port_mapping_active", "Whether the gateway forwards the port, where it is asked to.", "family")
	mMappingExpiry = clientMetrics.Gauge("campagnol_port_mapping_expiry_timestamp_seconds", "When the gateway's forwarding ends unless it is asked again, which happens before.", "family")
)

// Of certificates and policy.
var (
	mCertExpiry = clientMetrics.Gauge("campagnol_certificate_expiry_timestamp_seconds", "When a certificate ends on which this client depends.", "kind", "name", "serial")
	mCRLNext    = clientMetrics.Gauge("campagnol_crl_next_update_timestamp_seconds", "Until when the revocation list of an authority says that it is good.", "authority")
	mCRLIssued  = clientMetrics.Gauge("campagnol_crl_issued_timestamp_seconds", "When the revocation list of an authority was made.", "authority")
	mCRLSize    = clientMetrics.Gauge("campagnol_crl_certificates", "Certificates on the revocation list of an authority.", "authority")
	mOCSP       = clientMetrics.Counter("campagnol_ocsp_answers_total", "What responders have said about certificates of peers.", "result")

	mPolicy   = clientMetrics.Gauge("campagnol_policy_version", "Number of the policy; 0 if it has none.", "source")
	mBulletin = clientMetrics.Gauge("campagnol_bulletin_issued_timestamp_seconds", "When the newest bulletin of the authority was made.")

	mFlows        = clientMetrics.Gauge("campagnol_filter_flows", "Flows that the filters of the policy remember.")
	mFlowsEvicted = clientMetrics.Counter("campagnol_filter_evicted_flows_total", "Flows that had to go for others.")
	mFlowsExpired = clientMetrics.Counter("campagnol_filter_expired_flows_total", "Flows that were idle for too long.")
	mFilterDrops  = clientMetrics.Counter("campagnol_filter_dropped_packets_total", "Packets that the policy did not let pass, by reason.", "reason")
)

// Of frames (mode = tap).
var (
	mMACs      = clientMetrics.Gauge("campagnol_ethernet_hardware_addresses", "Hardware addresses that are learned.")
	mGroups    = clientMetrics.Gauge("campagnol_ethernet_multicast_groups", "Multicast groups that somebody wants.")
	mKnown     = clientMetrics.Gauge("campagnol_ethernet_members_known", "Members that the rendezvous server has listed (mesh = full).")
	mConnected = clientMetrics.Gauge("campagnol_ethernet_members_connected", "Members with a tunnel.")
	mMulticast = clientMetrics.Counter("campagnol_ethernet_multicast_events_total", "What has happened about multicast groups.", "event")
)

// Of the socket and the virtual interface.
var (
	mSockIn      = clientMetrics.Counter("campagnol_socket_receive_datagrams_total", "Datagrams that came to the socket.")
	mSockInCalls = clientMetrics.Counter("campagnol_socket_receive_calls_total", "System calls in which they were taken.")
	mSockOut     = clientMetrics.Counter("campagnol_socket_transmit_datagrams_total", "Datagrams that left by the socket.")
	mSockOutCall = clientMetrics.Counter("campagnol_socket_transmit_calls_total", "System calls in which they were sent.")
	mSockErrors  = clientMetrics.Counter("campagnol_socket_path_errors_total", "What routers have said about datagrams (ICMP).")
	mSockBuffer  = clientMetrics.Gauge("campagnol_socket_receive_buffer_bytes", "Size of the socket's receive buffer, if it is known.")

	mDevRead    = clientMetrics.Counter("campagnol_device_read_packets_total", "Packets that were read from the virtual interface.")
	mDevWritten = clientMetrics.Counter("campagnol_device_written_packets_total", "Packets that were written to the virtual interface.")
	mDevMTU     = clientMetrics.Gauge("campagnol_device_mtu_bytes", "MTU of the virtual interface.")
)

// Of the audit trail.
var (
	mAuditRecords = clientMetrics.Counter("campagnol_audit_records_total", "Records that were written to the audit trail.")
	mAuditLost    = clientMetrics.Counter("campagnol_audit_lost_records_total", "Records of the audit trail that could not be written.")
)
