// SPDX-License-Identifier: Apache-2.0

// Package debugfile finds what debuggers keep apart from programs: files of debug information on this machine, or from a debuginfod
// server, and the symbols that a stripped file carries compressed.
//
// Nothing that is found is believed for its name: a file counts when its build ID is the wanted one, or where there is none its checksum.
// So it does no harm that the names come from the programs themselves. What is opened must be an ordinary file.
//
// Where distributions put the files: https://sourceware.org/gdb/current/onlinedocs/gdb.html/Separate-Debug-Files.html.
package debugfile

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/assaylab/assay/internal/elfx"
	"github.com/assaylab/assay/symbolize/dwarf"
)

// defaultDir is where distributions put debug files.
const defaultDir = "/usr/lib/debug"

// maxCRC is the size of a file whose checksum is taken.
const maxCRC = 4 << 30

// Finder finds debug files. The zero value looks on this machine only.
type Finder struct {
	// Dirs have the folders .build-id and .dwz; nil means /usr/lib/debug.
	Dirs []string
	// Debuginfod is asked for what this machine lacks; nil: nobody is.
	Debuginfod *Debuginfod
}

func (f *Finder) dirs() []string {
	if f.Dirs == nil {
		return []string{defaultDir}
	}
	return f.Dirs
}

// Open opens a file that is an ELF image.
func Open(path string) (dwarf.Image, error) {
	r, err := elfx.OpenRegular(path)
	if err != nil {
		return dwarf.Image{}, err
	}
	f, err := openImage(r)
	if err != nil {
		return dwarf.Image{}, errors.Join(fmt.Errorf("%s: %w", path, err), r.Close())
	}
	return dwarf.Image{File: f, Closer: r}, nil
}

func openImage(r *os.File) (*elfx.File, error) {
	info, err := r.Stat()
	if err != nil {
		return nil, err
	}
	return elfx.Open(r, info.Size())
}

// Raw is the open file of an image that this package found; nil for the zero Image.
func Raw(image dwarf.Image) *os.File {
	file, ok := image.Closer.(*os.File)
	if !ok {
		return nil
	}
	return file
}

// errOther says that a file is about another program.
var errOther = fmt.Errorf("another build ID: %w", fs.ErrNotExist)

// openID opens a file that must have a build ID.
func openID(path, id string) (dwarf.Image, error) {
	image, err := Open(path)
	if err == nil && image.BuildID() != id {
		return dwarf.Image{}, errors.Join(fmt.Errorf("%s: %w", path, errOther), image.Close())
	}
	return image, err
}

// Debug finds the file with the debug information of a program, which lies at path, if that is known. The error is fs.ErrNotExist when there
// is none.
func (f *Finder) Debug(program *elfx.File, path string) (dwarf.Image, error) {
	id := program.BuildID()
	image, err := f.byID(id, ".debug")
	if err == nil {
		return image, nil
	}
	image, linkErr := f.byLink(program, path)
	if linkErr == nil {
		return image, nil
	}
	return f.ask(id, "debuginfo", errors.Join(err, linkErr))
}

// Executable finds a program by its build ID.
func (f *Finder) Executable(id string) (dwarf.Image, error) {
	image, err := f.byID(id, "")
	if err == nil {
		return image, nil
	}
	return f.ask(id, "executable", err)
}

// byID looks below .build-id, where the first byte of the ID is a folder.
func (f *Finder) byID(id, suffix string) (dwarf.Image, error) {
	if !validID(id) {
		return dwarf.Image{}, fmt.Errorf("build ID %q: %w", id, fs.ErrNotExist)
	}
	errs := []error{fmt.Errorf("build ID %s: %w", id, fs.ErrNotExist)}
	for _, dir := range f.dirs() {
		image, err := openID(filepath.Join(dir, ".build-id", id[:2], id[2:]+suffix), id)
		if err == nil {
			return image, nil
		}
		errs = append(errs, err)
	}
	return dwarf.Image{}, errors.Join(errs...)
}

// validID says whether an ID can be one of the GNU linker; others must not become part of a path.
func validID(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) >= 2 && len(b) <= 64 && id == strings.ToLower(id)
}

// ask asks debuginfod. Why nothing was found here is told when it isn't asked.
func (f *Finder) ask(id, kind string, err error) (dwarf.Image, error) {
	if f.Debuginfod == nil || !validID(id) {
		return dwarf.Image{}, err
	}
	path, err := f.Debuginfod.Fetch(id, kind)
	if err != nil {
		return dwarf.Image{}, err
	}
	return openID(path, id)
}

// byLink follows .gnu_debuglink: a file name, and the checksum of that file. It may lie beside the program, in a folder .debug there, or below
// the folders of debug files at the same path.
func (f *Finder) byLink(program *elfx.File, path string) (dwarf.Image, error) {
	name, crc, ok := debugLink(program)
	if !ok || !filepath.IsAbs(path) {
		return dwarf.Image{}, fmt.Errorf("debug link: %w", fs.ErrNotExist)
	}
	dir := filepath.Dir(path)
	places := []string{filepath.Join(dir, name), filepath.Join(dir, ".debug", name)}
	for _, d := range f.dirs() {
		places = append(places, filepath.Join(d, dir, name))
	}
	var errs []error
	for _, p := range places {
		image, err := openLinked(p, program.BuildID(), crc)
		if err == nil {
			return image, nil
		}
		errs = append(errs, err)
	}
	return dwarf.Image{}, errors.Join(errs...)
}

// debugLink reads .gnu_debuglink: the name, zero bytes up to a multiple of 4, and the checksum.
func debugLink(program *elfx.File) (name string, crc uint32, ok bool) {
	const maxName = 255
	s, ok := program.Section(".gnu_debuglink")
	if !ok || s.Size < 8 || s.Size > maxName+8 {
		return "", 0, false
	}
	b := make([]byte, s.Size)
	if program.ReadAt(b, s.Off) != nil {
		return "", 0, false
	}
	name, _, ok = strings.Cut(string(b[:len(b)-4]), "\x00")
	if !ok || name == "" || name == "." || name == ".." || strings.ContainsRune(name, '/') {
		return "", 0, false
	}
	return name, binary.LittleEndian.Uint32(b[len(b)-4:]), true
}

// openLinked opens a file that must have a build ID; where the program has none, the file's checksum tells.
func openLinked(path, id string, crc uint32) (dwarf.Image, error) {
	if id != "" {
		return openID(path, id)
	}
	image, err := Open(path)
	if err != nil {
		return dwarf.Image{}, err
	}
	if sum, err := checksum(image); err != nil || sum != crc {
		return dwarf.Image{}, errors.Join(fmt.Errorf("%s: another checksum: %w", path, fs.ErrNotExist), err, image.Close())
	}
	return image, nil
}

// checksum is the CRC-32 of a whole file.
func checksum(image dwarf.Image) (uint32, error) {
	if image.Size() > maxCRC {
		return 0, fmt.Errorf("more than %d bytes", int64(maxCRC))
	}
	sum := crc32.NewIEEE()
	chunk := make([]byte, 64<<10)
	for off := int64(0); off < image.Size(); off += int64(len(chunk)) {
		chunk = chunk[:min(int64(len(chunk)), image.Size()-off)]
		if err := image.ReadAt(chunk, uint64(off)); err != nil {
			return 0, err
		}
		if _, err := sum.Write(chunk); err != nil {
			return 0, err
		}
	}
	return sum.Sum32(), nil
}

// Alternate finds the file that dwz moved shared entries to. path is as the debug file at from has it, relative to that.
func (f *Finder) Alternate(from, path string, id []byte) (dwarf.Image, error) {
	want := hex.EncodeToString(id)
	if !validID(want) {
		return dwarf.Image{}, fmt.Errorf("alternate file %s without a build ID: %w", path, fs.ErrNotExist)
	}
	if image, err := f.byID(want, ".debug"); err == nil {
		return image, nil
	}
	places := []string{path}
	if !filepath.IsAbs(path) {
		places = []string{filepath.Join(filepath.Dir(from), path)}
	}
	for _, dir := range f.dirs() {
		places = append(places, filepath.Join(dir, ".dwz", filepath.Base(path)))
	}
	var errs []error
	for _, p := range places {
		image, err := openID(p, want)
		if err == nil {
			return image, nil
		}
		errs = append(errs, err)
	}
	return f.ask(want, "debuginfo", errors.Join(errs...))
}

// Split opens the file of a split unit: where the compiler put it, or beside the program.
func (f *Finder) Split(program, dir, name string) (dwarf.Image, error) {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, name)
	}
	var err error
	for _, p := range []string{path, filepath.Join(filepath.Dir(program), filepath.Base(name))} {
		if !filepath.IsAbs(p) {
			continue
		}
		image, openErr := Open(p)
		if openErr == nil {
			return image, nil
		}
		err = errors.Join(err, openErr)
	}
	if err == nil {
		err = fs.ErrNotExist
	}
	return dwarf.Image{}, err
}

// Package opens the file with all split units of a program: beside it, or beside its debug file. An Image without a File: there is none.
func (f *Finder) Package(paths ...string) (dwarf.Image, error) {
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			continue
		}
		image, err := Open(p + ".dwp")
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return image, err
		}
	}
	return dwarf.Image{}, nil
}
