package audit

// An Event is what a record is about. Its text is the name in the trail, which stays
// the same.
type Event string

// An Outcome is what has become of what somebody wanted.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success" // it was done
	Refused Outcome = "refused" // we, or who we asked, did not allow it
	Failed  Outcome = "failed"  // it did not work
)

// Events of both programs.
const (
	Started        Event = "started"
	Stopped        Event = "stopped"
	RecordsLost    Event = "records_lost"
	Reloaded       Event = "configuration_reloaded"
	ControlCommand Event = "control_command"
	ControlRefused Event = "control_refused"

	ListChanged        Event = "revocation_list_changed"
	BulletinChanged    Event = "bulletin_changed"
	PolicyChanged      Event = "policy_changed"
	ObjectRefused      Event = "object_refused"
	AuthorityTrusted   Event = "authority_trusted"
	AuthorityRetired   Event = "authority_retired"
	OwnCertificate     Event = "own_certificate_changed"
	CertificateExpires Event = "certificate_expiring"
)

// Events of the client.
const (
	Registered      Event = "registered"
	Unregistered    Event = "unregistered"
	ServerRefused   Event = "server_refused"
	TunnelOpened    Event = "tunnel_opened"
	TunnelClosed    Event = "tunnel_closed"
	TunnelCut       Event = "tunnel_cut"
	PeerRefused     Event = "peer_refused"
	SourceSpoofed   Event = "source_spoofed"
	PacketsRefused  Event = "packets_refused"
	PinMade         Event = "pin_made"
	PinChanged      Event = "pin_changed"
	PinForgotten    Event = "pin_forgotten"
	ServerForgotten Event = "server_forgotten"
	RenewalAsked    Event = "certificate_renewal"
)

// Events of the rendezvous server.
const (
	ClientRegistered    Event = "client_registered"
	ClientMoved         Event = "client_moved"
	ClientRemoved       Event = "client_removed"
	RegistrationRefused Event = "registration_refused"
	AddressConflict     Event = "address_conflict"
	ChannelOpened       Event = "channel_opened"
	ChannelClosed       Event = "channel_closed"
	HandshakeRefused    Event = "handshake_refused"
	ClientCut           Event = "client_cut"
	IntroductionRefused Event = "introduction_refused"
	RelayRefused        Event = "relay_refused"
	AuthorityHere       Event = "authority_registered"
	AuthorityGone       Event = "authority_gone"
)

// Events of the VPN's authority, wherever it is.
const (
	InvitationMade      Event = "invitation_made"
	InvitationRefused   Event = "invitation_refused"
	InvitationWithdrawn Event = "invitation_withdrawn"
	CertificateIssued   Event = "certificate_issued"
	CertificateRenewed  Event = "certificate_renewed"
	CertificateRevoked  Event = "certificate_revoked"
	ListMade            Event = "revocation_list_made"
)

// A Cause is who can bring about an event, and so how many records of it are written.
type Cause uint8

// The causes.
const (
	Here     Cause = iota // this program, or who may administrate it: each is written
	Member                // somebody who has shown a good certificate, or is a tunnel's other end
	Stranger              // anybody
)

// Programs that have a trail.
const (
	OfClient    = "campagnol"
	OfRDV       = "campagnol_rdv"
	OfAuthority = "campagnol ca" // also in the trail of campagnol_rdv --authority
)

// A Kind is what there is to know about an event.
type Kind struct {
	Event    Event
	Programs []string
	Cause    Cause
	Meaning  string // for people
}

var (
	both   = []string{OfClient, OfRDV}
	client = []string{OfClient}
	server = []string{OfRDV}
	issuer = []string{OfAuthority}
	every  = []string{OfClient, OfRDV, OfAuthority}
)

// Kinds are all events. docs/audit.md has them in this order.
var Kinds = []Kind{
	{Started, every, Here, "the program is ready"},
	{Stopped, every, Here, "it ends; `reason` says why, if not because it was told to"},
	{RecordsLost, every, Here, "`count` records could not be written, or came faster than they could be"},
	{Reloaded, both, Here, "the configuration, or certificates, lists and policy were read again; `failed`: they cannot be used, and nothing was changed"},
	{ControlCommand, both, Here, "somebody (`uid`, `pid`) has asked for a change by the control socket: `command`"},
	{ControlRefused, both, Member, "somebody may not use the control socket"},

	{ListChanged, both, Here, "another revocation list of `authority` counts: `number`"},
	{BulletinChanged, both, Here, "another bulletin counts: `number`"},
	{PolicyChanged, both, Here, "another policy counts, or none; `reason` names it"},
	{ObjectRefused, both, Member, "a revocation list or bulletin was offered, and is not used"},
	{AuthorityTrusted, both, Here, "`authority` is trusted from now on, as a bulletin says"},
	{AuthorityRetired, both, Here, "`authority` is trusted no longer, as a bulletin says"},
	{OwnCertificate, both, Here, "the program has another certificate of its own: `serial`, good until `expires`"},
	{CertificateExpires, both, Here, "a certificate on which the program depends ends soon, or has ended"},

	{Registered, client, Member, "a rendezvous server (`name`, `from`) knows this client"},
	{Unregistered, client, Member, "a rendezvous server does not answer any more, or does not take this client"},
	{ServerRefused, client, Stranger, "what answers as a rendezvous server was refused, or has refused a request; `code` says why"},
	{TunnelOpened, client, Member, "a tunnel to `name` with `vpn_address` is open, by `from`"},
	{TunnelClosed, client, Member, "it is closed; `reason` says why"},
	{TunnelCut, client, Here, "a tunnel was closed since the certificate of its peer is not good any more (`revoked`), or the policy does not let it; `code` says which"},
	{PeerRefused, client, Stranger, "a peer at `from` was refused, or has refused this host; `code` says why"},
	{SourceSpoofed, client, Member, "`count` packets from a peer had addresses that are not its own, and were dropped"},
	{PacketsRefused, client, Member, "`count` packets from or to a peer (`direction`) were dropped by the policy"},
	{PinMade, client, Member, "`key` is the one that belongs to `vpn_address` from now on"},
	{PinChanged, client, Member, "another key belongs to `vpn_address`, since a newer certificate says so"},
	{PinForgotten, client, Here, "the next key that is seen at `vpn_address` belongs to it (campagnol forget)"},
	{ServerForgotten, client, Here, "the rendezvous server `name` may be registered at in clear again (campagnol forget --rdv)"},
	{RenewalAsked, client, Here, "this host has asked for a new certificate, and got it or not"},

	{ClientRegistered, server, Stranger, "a client has registered `vpn_address`"},
	{ClientMoved, server, Member, "a client with a registration has registered from elsewhere: `from`"},
	{ClientRemoved, server, Stranger, "it has left, or was silent"},
	{RegistrationRefused, server, Stranger, "a client does not get `vpn_address`"},
	{AddressConflict, server, Stranger, "somebody has asked for a `vpn_address` that another client holds, and does not get it"},
	{ChannelOpened, server, Member, "`name` has shown a good certificate"},
	{ChannelClosed, server, Member, "its channel is over"},
	{HandshakeRefused, server, Stranger, "who is at `from` got no channel; `code` and `reason` say why"},
	{ClientCut, server, Here, "the channel of `name` was closed since its certificate is not good any more"},
	{IntroductionRefused, server, Member, "the policy does not let `vpn_address` open a tunnel to `peer`"},
	{RelayRefused, server, Member, "the policy does not let this server relay between `vpn_address` and `peer`"},
	{AuthorityHere, server, Here, "`name` is the VPN's authority from now on"},
	{AuthorityGone, server, Here, "it is not there any more"},

	{InvitationMade, issuer, Here, "a token lets a host get the certificate `name`"},
	{InvitationRefused, issuer, Stranger, "a token was used that was used before with another key, is withdrawn or has expired"},
	{InvitationWithdrawn, issuer, Here, "a token counts no longer"},
	{CertificateIssued, issuer, Here, "the authority has issued `serial` for `name`; with `invitation`, to the host at `from` that has used the token"},
	{CertificateRenewed, issuer, Here, "the authority has renewed a certificate: `serial` is the new one"},
	{CertificateRevoked, issuer, Here, "the authority has revoked `serial` of `name`"},
	{ListMade, issuer, Here, "the authority has made the revocation list `number`"},
}

// kinds are Kinds by their events.
var kinds = func() map[Event]*Kind {
	m := make(map[Event]*Kind, len(Kinds))
	for i := range Kinds {
		m[Kinds[i].Event] = &Kinds[i]
	}
	return m
}()
