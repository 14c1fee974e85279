// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/assaylab/assay/internal/atomicfile"
)

// debian is an apt of our own beside the machine's: the same few packages wherever the matrix runs, packages of a foreign architecture
// without a change to the machine's dpkg, and no need of root. All of it lies in one folder.
type debian struct {
	dir string
}

// Where the kernels are: Debian 12 gets both 6.1 and the newer series from its security archive, which has a short list of packages.
const (
	debianSource = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian-security bookworm-security main\n"
	debianConfig = `Dir::State "%[1]s";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s";
Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64";
APT::Architectures { "amd64"; "arm64"; };
APT::Sandbox::User "";
Acquire::Languages "none";
`
)

// openDebian sets up apt in dir and fetches the list of packages; without a network the list of the last time is used.
func openDebian(dir string) (*debian, error) {
	for _, sub := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	files := map[string]string{"status": "", "sources.list": debianSource, "apt.conf": fmt.Sprintf(debianConfig, dir)}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	d := &debian{dir: dir}
	_, err := d.run("apt-get", "-q", "update")
	return d, err
}

// run executes a program of apt with our configuration and returns what it printed.
func (d *debian) run(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(d.dir, "apt.conf"), "LC_ALL=C")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, problems.String())
	}
	return string(out), nil
}

// newest returns the package with the highest numbers in its name among those whose whole name matches the expression.
func (d *debian) newest(expression string) (string, error) {
	found, err := d.run("apt-cache", "search", "--names-only", "^"+expression+"$")
	if err != nil {
		return "", err
	}
	var names []string
	for line := range strings.Lines(found) {
		name, _, _ := strings.Cut(line, " ")
		names = append(names, name)
	}
	if len(names) == 0 {
		return "", fmt.Errorf("no Debian package is called %s", expression)
	}
	return slices.MaxFunc(names, compareNumbers), nil
}

var digits = regexp.MustCompile(`[0-9]+`)

// compareNumbers orders names by the numbers in them, from left to right.
func compareNumbers(a, b string) int {
	return slices.CompareFunc(digits.FindAllString(a, -1), digits.FindAllString(b, -1), func(x, y string) int {
		if byLength := len(x) - len(y); byLength != 0 { // no number in a package's name has leading zeros
			return byLength
		}
		return strings.Compare(x, y)
	})
}

// kernel returns the path of the kernel image that a package holds, fetched and unpacked once for each version.
func (d *debian) kernel(name, arch string) (image, version string, err error) {
	if version, err = d.version(name, arch); err != nil {
		return "", "", err
	}
	image = filepath.Join(d.dir, "images", name+"_"+version)
	return image, version, d.unpack(name, version, arch, image, unpackKernel)
}

// tree returns the folder of a package's files, fetched and unpacked once for each version.
func (d *debian) tree(name, arch string) (string, error) {
	version, err := d.version(name, arch)
	if err != nil {
		return "", err
	}
	tree := filepath.Join(d.dir, "trees", name+"_"+version+"_"+arch)
	return tree, d.unpack(name, version, arch, tree, unpackTree)
}

// version is the newest of a package.
func (d *debian) version(name, arch string) (string, error) {
	about, err := d.run("apt-cache", "show", "--no-all-versions", name+":"+arch)
	return field(about, "Version"), err
}

// unpack makes of a package what is to be at a path, unless it is there.
func (d *debian) unpack(name, version, arch, to string, unpack func(packed, to string) error) error {
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := d.run("apt-get", "-q", "download", name+":"+arch); err != nil {
		return err
	}
	// apt escapes the colon of an epoch in file names; the rest is the name, version and architecture.
	packed := filepath.Join(d.dir, fmt.Sprintf("%s_%s_%s.deb", name, strings.ReplaceAll(version, ":", "%3a"), arch))
	if err := unpack(packed, to); err != nil {
		return err
	}
	return os.Remove(packed)
}

// field returns the value of a field in a Debian control paragraph.
func field(paragraph, name string) string {
	for line := range strings.Lines(paragraph) {
		if value, found := strings.CutPrefix(line, name+": "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// unpackKernel writes the kernel image that lies in a Debian package's boot folder to a file.
func unpackKernel(packed, image string) error {
	if err := os.MkdirAll(filepath.Dir(image), 0o755); err != nil {
		return err
	}
	unpack := exec.Command("dpkg-deb", "--fsys-tarfile", packed)
	unpack.Stderr = os.Stderr
	files, err := unpack.StdoutPipe()
	if err != nil {
		return err
	}
	if err := unpack.Start(); err != nil {
		return err
	}
	err = atomicfile.Write(image, 0o644, func(w io.Writer) error { return copyKernel(w, files) })
	// What is left is read to the end, or dpkg-deb would wait for a reader.
	_, drainErr := io.Copy(io.Discard, files)
	return errors.Join(err, drainErr, unpack.Wait())
}

// copyKernel finds boot/vmlinuz-VERSION among the files of a package and copies it.
func copyKernel(w io.Writer, files io.Reader) error {
	for t := tar.NewReader(files); ; {
		header, err := t.Next()
		if err != nil {
			return fmt.Errorf("boot/vmlinuz: %w", err)
		}
		if strings.HasPrefix(header.Name, "./boot/vmlinuz-") {
			_, err := io.Copy(w, t)
			return err
		}
	}
}

// unpackTree writes the files of a Debian package into a folder, which is there only when it is whole.
func unpackTree(packed, tree string) error {
	partial := tree + ".partial"
	if err := errors.Join(os.RemoveAll(partial), os.MkdirAll(partial, 0o755)); err != nil {
		return err
	}
	if out, err := exec.Command("dpkg-deb", "--extract", packed, partial).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", packed, err, out)
	}
	return os.Rename(partial, tree)
}
