// SPDX-License-Identifier: Apache-2.0

package python

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"regexp"

	"github.com/assaylab/assay/internal/elfx"
)

// Specific is how a C library keeps the values of pthread_setspecific: from the thread pointer to the value of a key.
type Specific struct {
	// Self is how far before the thread pointer struct pthread begins; its address is what pthread_self returns.
	Self uint32
	// Array is where in struct pthread the pointers to blocks of keys lie, Block the number of keys in each.
	Array, Block uint32
	// Stride is the size of what a block has for a key, and Value where the value is in it.
	Stride, Value uint32
}

var mayBeLibc = regexp.MustCompile(`^lib(?:c|pthread)[-.](?:so\.6|so\.0|2\.[0-9]+\.so)$`)

// MayBeLibc says whether a file of this path is worth an [InspectLibc].
func MayBeLibc(path string) bool { return mayBeLibc.MatchString(filepath.Base(path)) }

// blockKeys is PTHREAD_KEY_2NDLEVEL_SIZE of glibc, which it doesn't tell; it has been 32 since 2.1.
const blockKeys = 32

// InspectLibc reads how glibc keeps thread-specific values, from what it tells debuggers (nptl_db: descriptors of size in bits,
// number and offset of a member). Where a file tells nothing, the result is nil.
func InspectLibc(f *elfx.File) (*Specific, error) {
	names := []string{
		"_thread_db_pthread_specific", "_thread_db_sizeof_pthread_key_data", "_thread_db_pthread_key_data_data", "_thread_db_sizeof_pthread",
	}
	symbols, err := f.Lookup(names...)
	if err != nil || len(symbols) < len(names) {
		return nil, err
	}
	var words [4]uint32
	for i, at := range []uint64{8, 0, 8, 0} { // the offset of a descriptor, or a plain number
		var b [4]byte
		if err := readVaddr(f, b[:], symbols[names[i]].Value+at); err != nil {
			return nil, fmt.Errorf("%s: %w", names[i], err)
		}
		words[i] = binary.LittleEndian.Uint32(b[:])
		if words[i] > maxOffset {
			return nil, fmt.Errorf("%s: %d is out of bounds", names[i], words[i])
		}
	}
	s := &Specific{Array: words[0], Block: blockKeys, Stride: words[1], Value: words[2]}
	if f.Machine() == elf.EM_AARCH64 {
		s.Self = words[3] // struct pthread lies before the thread pointer; on amd64, at it
	}
	return s, nil
}
