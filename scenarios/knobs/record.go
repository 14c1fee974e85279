// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
)

// A journal is lines, each with a checksum in hexadecimal digits (CRC-32C of what follows the space) and a JSON object: first a header, then
// an entry for each knob that was changed, in the order of the first changes.
//
//	3a58d7b3 {"journal":1,"boot":"6f1c…","net":"net:[4026531840]","others":"ipc:[4026531839] uts:[4026531838]","pid":4321}
//	91b0c2f4 {"kind":"sysctl","name":"net.core.somaxconn","original":"4096"}
//
// A last line that is cut short was being written when its run was killed: the change that it announces was not made yet.

const journalVersion = 1

// Bounds of a journal.
const (
	maxJournal = 256 << 10
	maxEntries = 256
)

// header says where the originals are of.
type header struct {
	Journal int    `json:"journal"` // version
	Boot    string `json:"boot"`    // boot ID: what we change doesn't outlive a boot
	Net     string `json:"net"`     // the network namespace
	Others  string `json:"others"`  // the other namespaces that sysctls may belong to
	PID     int    `json:"pid"`     // of the run, for people
}

// entry is what a knob was set to before the first change.
type entry struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Original string `json:"original"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeLine writes a header or an entry as a line.
func encodeLine(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(text, castagnoli), text), nil
}

// decodeLine reads a line, without its end, into a header or an entry.
func decodeLine(line []byte, v any) error {
	sum, text, ok := bytes.Cut(line, []byte(" "))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if !ok || err != nil || uint32(want) != crc32.Checksum(text, castagnoli) {
		return errors.New("the checksum is wrong")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// decodeJournal reads a journal that may be anything. An empty one has no entries and a zero header. Entries have passed all checks that
// don't need the machine. With damage it returns the entries that are whole, and an error.
func decodeJournal(text []byte) (header, []entry, error) {
	var h header
	if len(text) > maxJournal {
		return h, nil, fmt.Errorf("longer than %d bytes", maxJournal)
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1] // without a line that is cut short
	if len(whole) == 0 {
		return h, nil, nil
	}
	lines := bytes.Split(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n"))
	var version struct {
		Journal int `json:"journal"`
	}
	if _, object, ok := bytes.Cut(lines[0], []byte(" ")); ok && json.Unmarshal(object, &version) == nil && version.Journal > journalVersion {
		return h, nil, fmt.Errorf("of version %d, and this assay knows up to %d: let the assay that wrote it put back what it changed", version.Journal, journalVersion)
	}
	if err := decodeLine(lines[0], &h); err != nil {
		return h, nil, fmt.Errorf("line 1 is damaged: %w", err)
	}
	if h.Journal != journalVersion {
		return h, nil, errors.New("line 1 is damaged: no version")
	}
	entries, err := decodeEntries(lines[1:])
	return h, entries, err
}

func decodeEntries(lines [][]byte) ([]entry, error) {
	if len(lines) > maxEntries {
		return nil, fmt.Errorf("more than %d entries", maxEntries)
	}
	var entries []entry
	var errs []error
	for i, line := range lines {
		var e entry
		err := decodeLine(line, &e)
		if err == nil {
			_, err = e.knob()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d is damaged: %w", i+2, err))
			continue
		}
		entries = append(entries, e)
	}
	return entries, errors.Join(errs...)
}

// knob returns the knob of an entry, which has to be one that a journal may have.
func (e entry) knob() (*Knob, error) {
	k, err := newKnob(e.Kind, e.Name)
	if err != nil {
		return nil, err
	}
	if k.kind.write == nil || k.Name != e.Name {
		return nil, fmt.Errorf("%s is not for a journal", k)
	}
	if k.kind.checkOriginal != nil {
		return k, k.kind.checkOriginal(e.Original)
	}
	if e.Original == "" { // some sysctls are lists that may be empty
		return k, nil
	}
	original, err := k.canonical(e.Original)
	if err == nil && original != e.Original {
		err = fmt.Errorf("%s: %.40q is not how a value is written", k, e.Original)
	}
	return k, err
}
