package lab

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Names of features that matter to tunnels, as ethtool(8) -k has them. The
// kernel hands a packet of up to 64 KiB through a cable in one piece if the
// sending end has segmentation, which no plain network card does; without, it
// is cut before, and each packet really crosses.
const (
	FeatureUDPSegmentation = "tx-udp-segmentation"
	FeatureGSO             = "tx-generic-segmentation"

	// FeatureGRO has the receiving kernel put together what arrives in a
	// batch. On a veth, the kernel tries that only if the sending end has no
	// TCP segmentation at all.
	FeatureGRO = "rx-gro"
)

// FeaturesTSO are the features of TCP segmentation, of which some systems have
// fewer.
var FeaturesTSO = []string{
	"tx-tcp-segmentation", "tx-tcp-ecn-segmentation", "tx-tcp-mangleid-segmentation", "tx-tcp6-segmentation",
}

// Features returns the features of the node's interface by their names, and
// whether they are in force.
func (k *Link) Features() (map[string]bool, error) {
	var all featureSet
	err := k.near.ethtool(func(d *ethtoolDevice) (err error) {
		all, err = d.features()
		return err
	})
	return all.active(), err
}

// SetFeatures switches features of the node's interface on and off. It is an
// error if there is no such feature, or if it cannot be changed.
func (k *Link) SetFeatures(want map[string]bool) error {
	return k.near.ethtool(func(d *ethtoolDevice) error {
		all, err := d.features()
		if err != nil {
			return err
		}
		request, err := all.request(want)
		if err != nil {
			return err
		}
		if err := d.call(unsafe.Pointer(&request[0])); err != nil {
			return fmt.Errorf("set features: %w", err)
		}
		if all, err = d.features(); err != nil {
			return err
		}
		active := all.active()
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if active[name] != want[name] {
				return fmt.Errorf("feature %s cannot be changed to %v", name, want[name])
			}
		}
		return nil
	})
}

// A featureSet is what the kernel says about the features of an interface.
type featureSet struct {
	names []string // by number; empty for numbers without a meaning
	words []uint32 // for each 32 features: available, requested, active, never changed
}

// The members of words for 32 features.
const (
	featureActive = 2
	featureBlock  = 4
)

// active returns which features are in force.
func (s featureSet) active() map[string]bool {
	m := map[string]bool{}
	for i, name := range s.names {
		if at := i/32*featureBlock + featureActive; name != "" && at < len(s.words) {
			m[name] = s.words[at]>>(i%32)&1 == 1
		}
	}
	return m
}

// request returns the request that changes what is wanted and nothing else.
func (s featureSet) request(want map[string]bool) ([]uint32, error) {
	blocks := len(s.words) / featureBlock
	request := append(make([]uint32, 0, 2+2*blocks), unix.ETHTOOL_SFEATURES, uint32(blocks))
	request = request[:cap(request)] // for each 32 features: valid, requested
	for _, name := range slices.Sorted(maps.Keys(want)) {
		i := slices.Index(s.names, name)
		if i < 0 || name == "" || i/32 >= blocks {
			return nil, fmt.Errorf("the kernel knows no feature %q", name)
		}
		request[2+i/32*2] |= 1 << (i % 32)
		if want[name] {
			request[3+i/32*2] |= 1 << (i % 32)
		}
	}
	return request, nil
}

// featureName is the length of a name in the kernel's list, zeros at its end
// included.
const featureName = 32

// featureNames splits the kernel's list of names.
func featureNames(list []byte) []string {
	names := make([]string, 0, len(list)/featureName)
	for name := range slices.Chunk(list, featureName) {
		text, _, _ := bytes.Cut(name, []byte{0})
		names = append(names, string(text))
	}
	return names
}

// An ethtoolDevice takes ethtool's requests for an interface. Owned by one
// goroutine.
type ethtoolDevice struct {
	fd   int // of any socket in the interface's namespace
	name string
}

// ethtool calls fn with the interface.
func (e end) ethtool(fn func(*ethtoolDevice) error) error {
	err := e.ns.do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return errors.Join(fn(&ethtoolDevice{fd, e.name}), unix.Close(fd))
	})
	if err != nil {
		return fmt.Errorf("lab: interface %s in namespace %s: %w", e.name, e.ns.name, err)
	}
	return nil
}

// call hands a request to the kernel, which writes its answer over it.
func (d *ethtoolDevice) call(request unsafe.Pointer) error {
	var ifreq struct { // struct ifreq of linux/if.h
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte // the kernel's union is larger than a pointer
	}
	copy(ifreq.name[:unix.IFNAMSIZ-1], d.name)
	ifreq.data = request
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifreq)))
	runtime.KeepAlive(&ifreq)
	if errno != 0 {
		return errno
	}
	return nil
}

// features returns the features of the interface.
func (d *ethtoolDevice) features() (featureSet, error) {
	// Asked with no room for an answer, the kernel says how much it needs.
	size := []uint32{unix.ETHTOOL_GFEATURES, 0}
	if err := d.call(unsafe.Pointer(&size[0])); err != nil {
		return featureSet{}, fmt.Errorf("count features: %w", err)
	}
	blocks := size[1]
	words := make([]uint32, 2+featureBlock*blocks)
	words[0], words[1] = unix.ETHTOOL_GFEATURES, blocks
	if err := d.call(unsafe.Pointer(&words[0])); err != nil {
		return featureSet{}, fmt.Errorf("get features: %w", err)
	}
	names, err := d.featureNames(32 * blocks)
	return featureSet{names, words[2:]}, err
}

// featureNames returns the names of the features, of which there are at most
// limit.
func (d *ethtoolDevice) featureNames(limit uint32) ([]string, error) {
	const header = 3 // command, kind of strings, their number
	const kindFeatures = 4
	b := make([]uint32, header+limit*featureName/4)
	b[0], b[1] = unix.ETHTOOL_GSTRINGS, kindFeatures
	if err := d.call(unsafe.Pointer(&b[0])); err != nil {
		return nil, fmt.Errorf("name features: %w", err)
	}
	list := unsafe.Slice((*byte)(unsafe.Pointer(&b[header])), min(b[2], limit)*featureName)
	return featureNames(list), nil
}
