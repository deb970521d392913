package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"campagnol/pki/safefile"
)

// Pins bind peers to VPN addresses.
//
// A certificate that names IP addresses settles the matter: the peer has these
// and no others. A certificate that names none, as all of Campagnol 0.3.5's,
// says nothing about addresses, and every member of the VPN could take that of
// another. For these the key that is seen first at an address keeps it.
//
// Pins live in a file that several processes may use at once: the running
// client, and "campagnol forget". The file is read again when it has changed.
// When it cannot be written, pins last as long as the process.
//
// A pin that decides about a certificate is in the file before anybody is
// trusted for it. One that a certificate with the address has set follows a moment
// later: nobody waits for the disk, and many that come together are written
// together (see [Pins.Flush]).
//
// Pins are safe for concurrent use. They are meant to be asked once per handshake,
// not per packet.
type Pins struct {
	path string // empty: memory only

	writing sync.Mutex // held while the file is changed; locked before mu

	mu       sync.Mutex
	save     *time.Timer // a save that will look at unsaved; nil: none
	saves    int         // that have not ended
	saved    *sync.Cond  // one has
	lines    []pinLine
	byAddr   map[netip.Addr]*Pin
	perKey   map[KeyID]int
	unsaved  map[netip.Addr]Pin // pins that are not written yet, or could not be
	stat     fs.FileInfo        // of the file when it was read; nil if there was none
	warned   bool               // that the file cannot be written
	warnings []string
	watch    func(before *Pin, now Pin) // see Watch; may be nil
}

// OpenPins reads the pin file at path; one that does not exist is empty and is
// made with the first pin. With an empty path pins are kept in memory.
// [Pins.Warnings] tells about lines that are broken.
func OpenPins(path string) (*Pins, error) {
	p := &Pins{path: path, unsaved: map[netip.Addr]Pin{}}
	p.saved = sync.NewCond(&p.mu)
	p.index(nil)
	if path == "" {
		return p, nil
	}
	if err := p.readLocked(); err != nil {
		return nil, fmt.Errorf("pki: pin file: %w", err)
	}
	return p, nil
}

// Check decides whether a peer may have the VPN address addr. It returns nil or
// a [*Refusal]. With requireSAN only addresses that the certificate names count.
//
// It may set a pin, so ask only when the peer has proved that it has the key of
// its certificate: anybody can show the certificate of somebody else.
func (p *Pins) Check(now time.Time, addr netip.Addr, peer *Peer, requireSAN bool) error {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" {
		return peer.refuse(AddressMismatch, fmt.Sprintf("%v is not an address of a VPN", addr), "")
	}
	if len(peer.Addrs) > 0 && !slices.Contains(peer.Addrs, addr) {
		return peer.refuse(AddressMismatch, fmt.Sprintf("it is for %s, not for %v", joinAddrs(peer.Addrs), addr),
			"if that is the address of this host, issue a certificate with it: campagnol ca issue NAME --ip "+addr.String())
	}
	if requireSAN {
		if len(peer.Addrs) > 0 {
			return nil // no pin can be of use
		}
		return peer.refuse(NoAddress, fmt.Sprintf("it names no VPN address, so that it cannot be told whether %v is that of its holder, and require_ip_san is set", addr),
			"issue a certificate with the address: campagnol ca issue NAME --renew --ip "+addr.String())
	}
	pin := Pin{Addr: addr, Key: peer.Key, Since: now.UTC().Truncate(time.Second), Name: peer.Name}
	if len(peer.Addrs) > 0 && peer.Leaf != nil {
		pin.Issued = peer.Leaf.NotBefore.UTC().Truncate(time.Second)
	}
	if done, err := p.decide(pin, peer); done {
		return err
	}
	return p.add(pin, peer)
}

// decide answers Check as far as that needs no writing: done is false if the pin
// must be in the file first.
func (p *Pins) decide(pin Pin, peer *Peer) (done bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refreshLocked()
	if err := p.decideLocked(pin, peer); err != nil {
		return true, err
	}
	have := p.byAddr[pin.Addr]
	switch {
	case have != nil && have.Key == pin.Key && !pin.Issued.After(have.Issued):
		return true, nil
	case len(peer.Addrs) == 0:
		return false, nil
	case have != nil && have.Key == pin.Key:
		pin.Since = have.Since
	case have != nil && !have.Issued.IsZero():
		p.warn("%v belongs to key %v of %q now, and did to key %v of %q: a certificate says so that was issued on %s",
			pin.Addr, pin.Key, pin.Name, have.Key, have.Name, stamp(pin.Issued))
	}
	p.setLocked(pin)
	return true, nil
}

// setLocked sets a pin that nothing depends on yet, and has it written soon.
func (p *Pins) setLocked(pin Pin) {
	have := p.byAddr[pin.Addr]
	if have == nil && len(p.byAddr) >= maxPins {
		return // a certificate with the address needs no pin
	}
	p.tellLocked(have, pin)
	if have != nil {
		p.perKey[have.Key]--
	}
	p.byAddr[pin.Addr] = &pin
	p.perKey[pin.Key]++
	if p.path == "" {
		p.lines = append(without(p.lines, pin.Addr), pinLine{pin: &pin})
		return
	}
	p.unsaved[pin.Addr] = pin
	if p.save == nil {
		p.saves++
		p.save = time.AfterFunc(saveDelay, p.saveNow)
	}
}

// Flush waits until what was decided so far is in the file, or could not be
// written.
func (p *Pins) Flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.save != nil && p.save.Stop() {
		go p.saveNow()
	}
	for p.saves > 0 {
		p.saved.Wait()
	}
}

// saveDelay is how long a pin waits for others before it is written. In it the
// tunnel for which it was set is opened, and has the processor for itself.
const saveDelay = 200 * time.Millisecond

// saveNow writes the pins that wait for it.
func (p *Pins) saveNow() {
	p.writing.Lock()
	defer p.writing.Unlock()
	err := p.saveUnsaved()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.diskWarning(err)
	}
	p.saves--
	p.saved.Broadcast()
}

// saveUnsaved is saveNow with writing locked. It does not keep mu while the disk
// works.
func (p *Pins) saveUnsaved() error {
	unlock, err := p.lockFile()
	if unlock != nil {
		defer unlock()
	}
	p.mu.Lock()
	p.save = nil // what is decided from here on is for the next
	if err != nil {
		p.mu.Unlock()
		return err
	}
	p.refreshLocked()
	saved := maps.Clone(p.unsaved)
	lines := p.withHeader(p.withUnsaved(slices.Clone(p.lines)))
	p.mu.Unlock()

	if err := safefile.Write(p.path, appendPins(nil, lines), 0o600); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for addr, pin := range saved {
		if p.unsaved[addr] == pin {
			delete(p.unsaved, addr)
		}
	}
	p.writtenLocked(lines)
	return nil
}

func joinAddrs(addrs []netip.Addr) string {
	const most = 4
	var s []string
	for _, a := range addrs[:min(len(addrs), most)] {
		s = append(s, a.String())
	}
	if len(addrs) > most {
		s = append(s, fmt.Sprintf("%d more", len(addrs)-most))
	}
	return strings.Join(s, ", ")
}

// decideLocked returns why the pin cannot be set, or nil. A certificate that
// names the address (Check has made sure that it is this one) wins over what was
// seen first: the CA outranks it. Its key replaces the pin, so that nobody
// without such a certificate takes the address later; and of two keys with such
// certificates, that of the newer one has the address, or one that was lost
// would do for ever.
func (p *Pins) decideLocked(pin Pin, peer *Peer) error {
	have := p.byAddr[pin.Addr]
	switch {
	case len(peer.Addrs) > 0 && have != nil && have.Key != pin.Key && pin.Issued.Before(have.Issued):
		return peer.refuse(NewerCertificate, fmt.Sprintf("%v belongs to key %v of %q, whose certificate was issued on %s, and this one on %s",
			pin.Addr, have.Key, have.Name, stamp(have.Issued), stamp(pin.Issued)),
			fmt.Sprintf(`if this is the right one, renew it, or accept it with "campagnol forget %v"; if not, revoke it`, pin.Addr))
	case len(peer.Addrs) > 0:
		return nil
	case have != nil && have.Key == pin.Key:
		return nil
	case have != nil:
		return peer.refuse(OtherKey, fmt.Sprintf("%v belongs to the key %v of %q since %s, and this is key %v", pin.Addr, have.Key, have.Name, stamp(have.Since), pin.Key),
			fmt.Sprintf(`if this host has a new certificate, accept it with "campagnol forget %v"; better, give certificates an address: campagnol ca issue NAME --ip %v`, pin.Addr, pin.Addr))
	case p.perKey[pin.Key] >= maxPinsPerKey:
		return peer.refuse(OtherKey, fmt.Sprintf("its key holds %d VPN addresses already, and it names none", maxPinsPerKey),
			"give every host a certificate of its own: campagnol ca issue NAME --ip "+pin.Addr.String())
	case len(p.byAddr) >= maxPins:
		return peer.refuse(OtherKey, fmt.Sprintf("there are %d pinned addresses already", maxPins),
			"give hosts certificates with addresses: campagnol ca issue NAME --ip "+pin.Addr.String())
	}
	return nil
}

// add sets a pin for a certificate that names no address, in the file if possible.
// Another process may have set one in the meantime, so the decision is made again
// on what the file says while it is locked.
func (p *Pins) add(pin Pin, peer *Peer) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	var refusal error
	fresh := false
	_, err := p.updateLocked(func(lines []pinLine) []pinLine {
		if refusal = p.decideLocked(pin, peer); refusal != nil {
			return nil
		}
		fresh = p.byAddr[pin.Addr] == nil
		delete(p.unsaved, pin.Addr)
		return append(without(lines, pin.Addr), pinLine{pin: &pin})
	})
	if err != nil {
		p.unsaved[pin.Addr] = pin
		p.index(p.lines)
		p.diskWarning(err)
	}
	if refusal == nil && fresh {
		p.tellLocked(nil, pin)
	}
	return refusal
}

// List returns all pins, sorted by address.
func (p *Pins) List() []Pin {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refreshLocked()
	list := make([]Pin, 0, len(p.byAddr))
	for _, pin := range p.byAddr {
		list = append(list, *pin)
	}
	slices.SortFunc(list, func(a, b Pin) int { return a.Addr.Compare(b.Addr) })
	return list
}

// Warnings returns what went wrong with the file since the last call: broken
// lines, a disk that cannot be written.
func (p *Pins) Warnings() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.warnings
	p.warnings = nil
	return w
}

func (p *Pins) warn(format string, args ...any) {
	const most = 100 // somebody may not ask for them
	if len(p.warnings) < most {
		text := fmt.Sprintf(format, args...)
		if p.path != "" {
			text = p.path + ": " + text
		}
		p.warnings = append(p.warnings, text)
	}
}

// diskWarning says once that the file is of no use, until it is again.
func (p *Pins) diskWarning(err error) {
	if !p.warned {
		p.warned = true
		p.warn("pins are kept in memory only, and forgotten at exit: %v", err)
	}
}

// refreshLocked reads the file again if it has changed. A file that cannot be
// read any more leaves us with what we have.
func (p *Pins) refreshLocked() {
	if p.path == "" {
		return
	}
	stat, err := os.Stat(p.path)
	if errors.Is(err, fs.ErrNotExist) && p.stat == nil {
		return
	}
	if err == nil && p.stat != nil && os.SameFile(stat, p.stat) &&
		stat.Size() == p.stat.Size() && stat.ModTime().Equal(p.stat.ModTime()) {
		return
	}
	if err := p.readLocked(); err != nil {
		p.diskWarning(err)
	}
}

// readLocked reads the file.
func (p *Pins) readLocked() error {
	// The state before the content: if the file changes in between, it is
	// read once more than needed and not once less.
	stat, err := os.Stat(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		p.stat = nil
		p.index(nil)
		return nil
	}
	if err != nil {
		return err
	}
	data, err := safefile.Read(p.path, maxPinFile)
	if err != nil {
		return err
	}
	lines, errs := parsePins(data)
	for _, err := range errs {
		p.warn("%v; the line is not used", err)
	}
	p.stat = stat
	p.index(lines)
	return nil
}

// index makes lines the current ones. Pins that could not be written replace
// those of the file: they are what was decided last.
func (p *Pins) index(lines []pinLine) {
	p.lines = lines
	p.byAddr = make(map[netip.Addr]*Pin, len(lines))
	for _, l := range lines {
		if l.pin != nil {
			p.byAddr[l.pin.Addr] = l.pin
		}
	}
	for addr, pin := range p.unsaved {
		p.byAddr[addr] = &pin
	}
	p.perKey = map[KeyID]int{}
	for _, pin := range p.byAddr {
		p.perKey[pin.Key]++
	}
}

// lockFile locks the file against other processes.
func (p *Pins) lockFile() (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(p.path), 0o700); err != nil {
		return nil, err
	}
	if unlock, err = safefile.Lock(p.path + ".lock"); err != nil {
		return nil, err
	}
	safefile.Sweep(p.path)
	return unlock, nil
}

// updateLocked replaces the lines by what change makes of them, in the file and
// in memory; nil means no change. It reports whether there was one. writing is
// locked, too.
func (p *Pins) updateLocked(change func([]pinLine) []pinLine) (bool, error) {
	if p.path != "" {
		unlock, err := p.lockFile()
		if err != nil {
			return false, err
		}
		defer unlock()
		p.refreshLocked()
	}
	lines := change(slices.Clone(p.lines))
	if lines == nil {
		return false, nil
	}
	if p.path == "" {
		p.index(lines)
		return true, nil
	}
	lines = p.withHeader(p.withUnsaved(lines))
	if err := safefile.Write(p.path, appendPins(nil, lines), 0o600); err != nil {
		return false, err
	}
	clear(p.unsaved)
	p.writtenLocked(lines)
	return true, nil
}

// writtenLocked notes that the file holds lines.
func (p *Pins) writtenLocked(lines []pinLine) {
	p.warned = false
	p.index(lines)
	if stat, err := os.Stat(p.path); err == nil {
		p.stat = stat
	}
}

// withUnsaved adds the pins that are not in the file.
func (p *Pins) withUnsaved(lines []pinLine) []pinLine {
	lines = slices.DeleteFunc(lines, func(l pinLine) bool {
		if l.pin == nil {
			return false
		}
		_, replaced := p.unsaved[l.pin.Addr]
		return replaced
	})
	for _, addr := range slices.SortedFunc(maps.Keys(p.unsaved), netip.Addr.Compare) {
		pin := p.unsaved[addr]
		lines = append(lines, pinLine{pin: &pin})
	}
	return lines
}

// withHeader explains a file that has been empty.
func (p *Pins) withHeader(lines []pinLine) []pinLine {
	if len(p.lines) > 0 {
		return lines
	}
	header, _ := parsePins([]byte(pinHeader))
	return append(header, lines...)
}

// without returns lines without the pin of addr.
func without(lines []pinLine, addr netip.Addr) []pinLine {
	return slices.DeleteFunc(lines, func(l pinLine) bool { return l.pin != nil && l.pin.Addr == addr })
}

func hasPin(lines []pinLine, addr netip.Addr) bool {
	return slices.ContainsFunc(lines, func(l pinLine) bool { return l.pin != nil && l.pin.Addr == addr })
}
