// SPDX-License-Identifier: Apache-2.0

package elfx

import (
	"encoding/binary"
	"encoding/hex"
)

const (
	maxNoteSegments = 64
	maxNoteBytes    = 64 << 10 // of one segment; real ones have a few hundred
	maxGNUBuildID   = 64       // bytes; SHA-1 has 20
	maxGoBuildID    = 256      // bytes; Go's have 83

	noteGNUBuildID = 3 // NT_GNU_BUILD_ID
	noteGoBuildID  = 4 // ELF_NOTE_GOBUILDID_TAG
)

type buildIDs struct {
	gnu string // hexadecimal
	goo string // as `go tool buildid` prints it
}

// BuildID is the GNU build ID in lower-case hexadecimal, "" when the file has none.
func (f *File) BuildID() string { return f.ids().gnu }

// GoBuildID is the build ID of the Go linker, "" for files that Go didn't link.
func (f *File) GoBuildID() string { return f.ids().goo }

// readBuildIDs looks in the note segments and, when these name no GNU build ID, in the note sections: some linkers put the
// note where no segment covers it.
func (f *File) readBuildIDs() buildIDs {
	var ids buildIDs
	for _, s := range f.notes[:min(len(f.notes), maxNoteSegments)] {
		f.scanNotes(s, &ids)
	}
	if ids.gnu != "" {
		return ids
	}
	for _, name := range []string{".note.gnu.build-id", ".note.go.buildid"} {
		if s, ok := f.Section(name); ok {
			f.scanNotes(span{s.Off, s.Size, 4}, &ids)
		}
	}
	return ids
}

// scanNotes reads the build IDs among the notes of s; the first of a kind counts. What is malformed ends the walk.
func (f *File) scanNotes(s span, ids *buildIDs) {
	p := make([]byte, min(s.size, maxNoteBytes))
	if err := f.ReadAt(p, s.off); err != nil {
		return // a file without this note is usable, so it isn't an error
	}
	ids.read(p, s.align)
}

// BuildIDOfNotes is the GNU build ID among notes as they stand in memory, such as /sys/kernel/notes; "" when there is none.
func BuildIDOfNotes(p []byte) string {
	var ids buildIDs
	ids.read(p, 4)
	return ids.gnu
}

// read takes the build IDs among the notes in p.
func (ids *buildIDs) read(p []byte, align uint64) {
	for len(p) > 0 {
		n, rest, ok := cutNote(p, align)
		if !ok {
			return
		}
		ids.add(n)
		p = rest
	}
}

type note struct {
	name string
	typ  uint32
	desc []byte
}

// cutNote splits the first note off p. Names and descriptors are padded to 4 bytes, to 8 in segments of that alignment.
func cutNote(p []byte, align uint64) (n note, rest []byte, ok bool) {
	const header = 12
	if len(p) < header {
		return note{}, nil, false
	}
	if align != 8 {
		align = 4
	}
	le := binary.LittleEndian
	nameLen, descLen := uint64(le.Uint32(p)), uint64(le.Uint32(p[4:]))
	desc := alignUp(header+nameLen, align)
	if desc+descLen > uint64(len(p)) {
		return note{}, nil, false
	}
	n = note{name: string(p[header : header+nameLen]), typ: le.Uint32(p[8:]), desc: p[desc : desc+descLen]}
	return n, p[min(alignUp(desc+descLen, align), uint64(len(p))):], true
}

func alignUp(n, align uint64) uint64 { return (n + align - 1) &^ (align - 1) }

func (ids *buildIDs) add(n note) {
	switch {
	case n.name == "GNU\x00" && n.typ == noteGNUBuildID && ids.gnu == "" && len(n.desc) <= maxGNUBuildID:
		ids.gnu = hex.EncodeToString(n.desc)
	case n.name == "Go\x00\x00" && n.typ == noteGoBuildID && ids.goo == "" && len(n.desc) <= maxGoBuildID:
		ids.goo = string(n.desc)
	}
}
