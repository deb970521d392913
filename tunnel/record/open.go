package record

import (
	"sync"
	"sync/atomic"
)

// An Opener removes the protection of the inbound records of one epoch. It is
// safe for concurrent use.
type Opener struct {
	protection
	failed atomic.Uint64 // records that did not authenticate
	id     ID            // which records have to carry
	withID bool          // they have to carry one

	mu     sync.Mutex // guards window; never held over the cipher's work
	window Window
}

// NewOpener returns an Opener with an empty replay window.
func NewOpener(s Suite, key, iv []byte, epoch uint16) (*Opener, error) {
	p, err := newProtection(s, key, iv, epoch)
	if err != nil {
		return nil, err
	}
	return &Opener{protection: p}, nil
}

// Opened returns how many records the peer has sealed, as far as what was opened
// shows: one more than the highest sequence number.
func (o *Opener) Opened() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.window.next
}

// Failed returns how many records have failed authentication (RFC 9147 section
// 4.5.3).
func (o *Opener) Failed() uint64 { return o.failed.Load() }

// Open checks and decrypts rec, one whole record with header h as [Split]
// returns them, in place. The payload it returns is a part of rec, and its type is
// tmp.Type(). After an error the content of rec is undefined, except after
// ErrVersion, ErrEpoch, ErrID, ErrShort and ErrReplay, which leave it alone.
//
// Whether a record is new is checked before the cipher's work and noted after
// it, so that only authentic records move the window (RFC 6347 section
// 4.1.2.6).
func (o *Opener) Open(h Header, rec []byte, tmp *Scratch) (payload []byte, err error) {
	head := h.Len()
	switch {
	case h.Epoch != o.epoch:
		return nil, ErrEpoch
	case h.Version != Version12:
		return nil, ErrVersion
	case (h.Type == WithID) != o.withID || h.ID != o.id:
		return nil, ErrID
	case h.Length < o.explicit+tagLen || len(rec) < head+h.Length:
		return nil, ErrShort
	}
	o.mu.Lock()
	fresh := o.window.Check(h.Seq)
	o.mu.Unlock()
	if !fresh {
		return nil, ErrReplay
	}

	plain := h
	plain.Length -= o.explicit + tagLen
	aad := tmp.aad[:plainAAD]
	if o.withID {
		aad = o.fillID(tmp, plain, o.id[:])
	} else {
		o.fill(tmp, plain)
	}
	// GCM's nonce is the record's own explicit part, which need not be the
	// sequence number (RFC 5288 section 3).
	copy(tmp.nonce[len(tmp.nonce)-o.explicit:], rec[head:head+o.explicit])
	sealed := rec[head+o.explicit : head+h.Length]
	payload, err = o.aead.Open(sealed[:0], tmp.nonce[:], sealed, aad)
	if err != nil {
		o.failed.Add(1)
		return nil, ErrAuth
	}

	o.mu.Lock()
	fresh = o.window.Accept(h.Seq)
	o.mu.Unlock()
	if !fresh {
		return nil, ErrReplay // lost a race with its own duplicate
	}
	tmp.typ = h.Type
	if o.withID {
		return tmp.unwrap(payload)
	}
	return payload, nil
}
