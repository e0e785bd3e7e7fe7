package ledger

import (
	"sync/atomic"
)

// counters are what Stats shows; the writer adds, anybody reads.
type counters struct {
	commits, bytes, leased, settled, returned, strays atomic.Uint64
}

// Stats are counters since Open.
type Stats struct {
	// Commits is the groups committed, each with one fdatasync.
	Commits uint64
	// Bytes is what the groups held, before Pebble's own overhead.
	Bytes uint64
	// Leased, Settled and Returned count recipients.
	Leased, Settled, Returned uint64
	// Strays are settlements of recipients that were not in flight: a caller's
	// mistake, ignored so that nobody is counted twice.
	Strays uint64
	// DiskBytes is the size of the data directory's files; WrittenBytes what
	// was written for them: log, flushes, compactions, loads.
	DiskBytes, WrittenBytes uint64
	// Store is what Pebble tells of itself.
	Store StoreStats
}

// StoreStats is the state of the tables and caches below the ledger.
type StoreStats struct {
	// Compactions, Flushes and Ingests count since Open.
	Compactions, Flushes, Ingests uint64
	// DebtBytes is about what compactions have yet to rewrite.
	DebtBytes uint64
	// ReadAmplification is how many sorted runs a read looks into at most.
	ReadAmplification int
	// Tables is live table files; MemtableBytes what is not in one yet.
	Tables, MemtableBytes uint64
	// LogBytes is the write-ahead log's live data.
	LogBytes uint64
	// CacheBytes is the block cache's use; hits and misses since Open.
	CacheBytes, CacheHits, CacheMisses uint64
}

// Stats never fails; after Close the disk figures are zero.
func (l *Ledger) Stats() Stats {
	c := &l.writer.stats
	s := Stats{
		Commits: c.commits.Load(), Bytes: c.bytes.Load(), Leased: c.leased.Load(),
		Settled: c.settled.Load(), Returned: c.returned.Load(), Strays: c.strays.Load(),
	}
	if l.enter() == nil {
		defer l.leave()
		m := l.db.Metrics()
		s.DiskBytes = m.DiskSpaceUsage()
		s.WrittenBytes = m.WAL.BytesWritten
		total := m.Total()
		s.WrittenBytes += total.TableBytesFlushed + total.TableBytesCompacted + total.TableBytesIngested
		s.Store = StoreStats{
			Compactions: uint64(m.Compact.Count), Flushes: uint64(m.Flush.Count), Ingests: m.Ingest.Count,
			DebtBytes: m.Compact.EstimatedDebt, ReadAmplification: m.ReadAmp(),
			Tables: uint64(total.TablesCount), MemtableBytes: m.MemTable.Size, LogBytes: m.WAL.Size,
			CacheBytes: uint64(m.BlockCache.Size), CacheHits: uint64(m.BlockCache.Hits), CacheMisses: uint64(m.BlockCache.Misses),
		}
	}
	return s
}
