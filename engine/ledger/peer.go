package ledger

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// peers hands out Peer pointers and their numbers on disk. A number is given
// on first use in a process: the same peer may have several over the years,
// which costs some bytes and saves reading the dictionary at the start.
type peers struct {
	mu sync.Mutex
	// known is emptied when full; pointers given out stay good. Guarded by mu.
	known map[Peer]*Peer
	last  atomic.Uint32

	readMu sync.Mutex
	// read caches those looked up by number. Guarded by readMu.
	read map[uint32]*Peer
}

const maxPeers = 1 << 16

func (p *peers) reset(last uint32) {
	p.last.Store(last)
	p.known = make(map[Peer]*Peer)
	p.read = make(map[uint32]*Peer)
}

func (p *peers) next() uint32 { return p.last.Add(1) }

// Peer gives the same pointer for equal values, as long as it is in use about
// the same time. Any goroutine.
func (l *Ledger) Peer(host string, addr netip.AddrPort, source, tls string) *Peer {
	key := Peer{Host: host, Addr: addr, Source: source, TLS: tls}
	p := &l.peers
	p.mu.Lock()
	defer p.mu.Unlock()
	if v := p.known[key]; v != nil {
		return v
	}
	if len(p.known) >= maxPeers {
		clear(p.known)
	}
	v := &Peer{Host: host, Addr: addr, Source: source, TLS: tls}
	p.known[key] = v
	return v
}

func appendPeer(dst []byte, p *Peer) []byte {
	dst = appendBytes(dst, p.Host)
	addr, _ := p.Addr.MarshalBinary()
	dst = appendBytes(dst, addr)
	dst = appendBytes(dst, p.Source)
	return appendBytes(dst, p.TLS)
}

func decodePeer(v []byte) (*Peer, error) {
	d := decoder{b: v}
	p := &Peer{Host: d.string()}
	if err := p.Addr.UnmarshalBinary(d.bytes()); err != nil {
		d.bad = true
	}
	p.Source, p.TLS = d.string(), d.string()
	return p, d.err()
}

// peerByID reads a peer from the dictionary.
func (l *Ledger) peerByID(r pebble.Reader, id uint32) (*Peer, error) {
	p := &l.peers
	p.readMu.Lock()
	defer p.readMu.Unlock()
	if v := p.read[id]; v != nil {
		return v, nil
	}
	v, err := getCopy(r, appendIDKey(nil, spacePeer, id))
	if err != nil {
		return nil, err
	}
	peer, err := decodePeer(v)
	if err != nil {
		return nil, fmt.Errorf("peer %d: %w", id, err)
	}
	if len(p.read) >= maxPeers {
		clear(p.read)
	}
	p.read[id] = peer
	return peer, nil
}
