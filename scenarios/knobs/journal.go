// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Errors of a journal that callers tell apart.
var (
	ErrHeld = errors.New("another run holds it: wait until that has ended")
	ErrLeft = errors.New("a run that was killed left it: assay tune --restore puts back what that changed")
)

// A Journal is a file with what was changed on the machine, and changes it. It belongs to one process, by a lock (flock) that ends with
// the process; its methods are called by one goroutine at a time.
type Journal struct {
	path    string
	file    *os.File
	size    int64 // of what is whole on disk
	entries []entry
}

// StateVariable is the variable of the environment with the folder of a journal apart from the machine's: an absolute path. It is for tests of
// this program on a machine where it is also used; whoever sets it has to set it for --restore too.
const StateVariable = "ASSAY_STATE_DIR"

// DefaultJournal is where every command keeps its journal, unless [StateVariable] says otherwise: a fixed place for root, wherever its home
// is, as all who can change the machine have to see the same one.
func DefaultJournal() string {
	const name = "knobs.journal"
	if folder := os.Getenv(StateVariable); filepath.IsAbs(folder) {
		return filepath.Join(folder, name)
	}
	if os.Geteuid() == 0 {
		return filepath.Join("/var/lib/assay", name)
	}
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		home, err := os.UserHomeDir()
		if err != nil {
			home = filepath.Join(os.TempDir(), fmt.Sprintf("assay-%d", os.Geteuid()))
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "assay", name)
}

// OpenJournal makes a journal, and its folder when that is missing. It returns ErrHeld when a process that lives has it, ErrLeft when one
// that is dead left changes in it: those values are not originals, so they have to be put back first.
func OpenJournal(path string) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j, err := lockJournal(path, unix.O_CREAT)
	if err != nil {
		return nil, err
	}
	text, err := j.read()
	switch {
	case err == nil && len(text) > 0:
		err = j.fail(ErrLeft)
	case err == nil:
		err = j.syncFolder()
	}
	if err != nil {
		return nil, errors.Join(err, j.file.Close())
	}
	return j, nil
}

// lockJournal opens a journal and takes its lock. Who has the lock may remove the file, so it is looked whether it's still there.
func lockJournal(path string, flags int) (*Journal, error) {
	for range 100 {
		f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|flags, 0o600)
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		j := &Journal{path: path, file: f}
		same, err := j.lock()
		if err != nil {
			return nil, errors.Join(j.fail(err), f.Close())
		}
		if same {
			return j, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("journal %s: %w", path, ErrHeld)
}

// lock takes the lock, and says whether the file is still the one at its path. A file that others may write is refused: they could have
// us set what they like.
func (j *Journal) lock() (same bool, err error) {
	err = unix.Flock(int(j.file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, ErrHeld
	}
	if err != nil {
		return false, err
	}
	var mine, there unix.Stat_t
	if err := unix.Fstat(int(j.file.Fd()), &mine); err != nil {
		return false, err
	}
	if mine.Mode&unix.S_IFMT != unix.S_IFREG || int(mine.Uid) != os.Geteuid() || mine.Mode&0o022 != 0 {
		return false, errors.New("not a file of our own that nobody else can write")
	}
	err = unix.Lstat(j.path, &there)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return mine.Ino == there.Ino && mine.Dev == there.Dev, err
}

// fail names the journal in an error, once.
func (j *Journal) fail(err error) error {
	if path := new(fs.PathError); errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("journal %s: %w", j.path, err)
}

// read returns what is in the file, at most one byte more than a journal may have.
func (j *Journal) read() ([]byte, error) {
	text, err := io.ReadAll(io.NewSectionReader(j.file, 0, maxJournal+1))
	if err != nil {
		return nil, j.fail(err)
	}
	return text, nil
}

// syncFolder makes sure that the file's name is on disk.
func (j *Journal) syncFolder() error {
	folder, err := os.Open(filepath.Dir(j.path))
	if err != nil {
		return j.fail(err)
	}
	if err := cmp.Or(folder.Sync(), folder.Close()); err != nil {
		return j.fail(err)
	}
	return nil
}

// Set writes down what the knob is set to, unless that was done before, then sets it and makes sure that it took. An error says whether
// the kernel took something else; Restore puts that back too.
func (j *Journal) Set(k *Knob, value string) error {
	if k.OfWorkload() {
		return fmt.Errorf("%s applies to the workload alone: no journal can set it", k)
	}
	value, err := k.canonical(value)
	if err != nil {
		return fmt.Errorf("%s: %w", k, err)
	}
	if err := j.noteAll(k); err != nil {
		return err
	}
	return k.set(machine, value)
}

// noteAll writes down the original of a knob, and of those that change with it.
func (j *Journal) noteAll(k *Knob) error {
	name := k.partner()
	if name == "" {
		return j.note(k)
	}
	partner, err := newKnob(k.Kind, name)
	if err == nil {
		err = j.note(partner)
	}
	if err != nil {
		return err
	}
	return j.note(k)
}

// note writes down the original of a knob, once.
func (j *Journal) note(k *Knob) error {
	if slices.ContainsFunc(j.entries, func(e entry) bool { return e.Kind == k.Kind && e.Name == k.Name }) {
		return nil
	}
	if len(j.entries) == maxEntries {
		return j.fail(fmt.Errorf("it has %d knobs already", maxEntries))
	}
	original, err := k.original()
	if err != nil {
		return fmt.Errorf("%s: %w", k, err)
	}
	e := entry{k.Kind, k.Name, original}
	if _, err := e.knob(); err != nil {
		return fmt.Errorf("%s is set to %q, which could not be put back: %w", k, original, err)
	}
	if err := j.append(e); err != nil {
		return fmt.Errorf("%w: %s was not changed", j.fail(err), k)
	}
	j.entries = append(j.entries, e)
	return k.tryOriginal(original)
}

// partner names the knob of the same kind that changes with this one; "" for none.
func (k *Knob) partner() string {
	if k.kind.partner == nil {
		return ""
	}
	return k.kind.partner(k.Name)
}

// tryOriginal makes sure that a knob takes what it has been set to: some show a value that they don't take.
func (k *Knob) tryOriginal(original string) error {
	if k.kind.restore != nil || k.partner() != "" {
		return nil
	}
	if err := k.set(machine, original); err != nil {
		return fmt.Errorf("%w: it could not be put back, so it is left alone", err)
	}
	return nil
}

// append puts an entry on disk, after the header if it is the first.
func (j *Journal) append(e entry) error {
	var text []byte
	if j.size == 0 {
		h, err := newHeader()
		if err != nil {
			return err
		}
		if text, err = encodeLine(h); err != nil {
			return err
		}
	}
	line, err := encodeLine(e)
	if err != nil {
		return err
	}
	text = append(text, line...)
	_, err = j.file.WriteAt(text, j.size)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		return cmp.Or(err, j.file.Truncate(j.size)) // both are done
	}
	j.size += int64(len(text))
	return nil
}

// Restore puts back all that was changed, the last first, makes sure that each took, and empties the journal. After an error the journal
// keeps its entries, and Restore can be called again.
func (j *Journal) Restore() error {
	if _, err := putBack(machine, j.entries); err != nil {
		return err
	}
	return j.empty()
}

// empty forgets all entries.
func (j *Journal) empty() error {
	if err := cmp.Or(j.file.Truncate(0), j.file.Sync()); err != nil {
		return j.fail(err)
	}
	j.entries, j.size = nil, 0
	return nil
}

// Close restores, removes the file and lets go of it. When something could not be put back the file stays for [Restore].
func (j *Journal) Close() error {
	err := j.Restore()
	if err == nil {
		err = j.remove()
	}
	return errors.Join(err, j.file.Close())
}

func (j *Journal) remove() error {
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return j.fail(err)
	}
	return nil
}
