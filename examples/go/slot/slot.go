// Package slot computes the slot of a uid in a route with slots.
package slot

import (
	"crypto/sha256"
	"encoding/binary"
)

// Of returns the slot of a uid, from 0 to slots-1: the first 8 bytes of the SHA-256 of the uid in UTF-8,
// as an unsigned big-endian integer, modulo the number of slots. A link of the uid's own comes first.
func Of(uid string, slots uint64) uint64 {
	hash := sha256.Sum256([]byte(uid))
	return binary.BigEndian.Uint64(hash[:8]) % slots
}
