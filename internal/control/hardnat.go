package control

// A HardNAT says what it has cost to look for ways through hard NATs, which take another
// port for each destination.
type HardNAT struct {
	Attempts  uint64 `json:"attempts"`
	Sockets   uint64 `json:"sockets"`
	Probes    uint64 `json:"probes"`
	Successes uint64 `json:"successes"`
}
