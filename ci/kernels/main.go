// SPDX-License-Identifier: Apache-2.0

// Command kernels boots kernels other than this machine's and tries assay in each.
//
// The steps, one file each: fetch Debian's packages of kernels and of Python (debian.go), cross-compile assay and a guest program (pack.go),
// pack all into an initramfs (cpio.go), boot that in qemu (machine.go) and read from the serial console how each check of the guest went (package
// report). A table of checks and kernels is printed; any check that failed, or a guest that didn't get to the end, fails the command.
//
// Packages, apt's lists, initramfs and logs lie in $ASSAY_CACHE/kernels, by default ~/.cache/assay/kernels.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"time"

	"github.com/assaylab/assay/ci/kernels/report"
)

// kernel is a column of the matrix. The package is an expression, because its name changes with each security update; the newest counts.
type kernel struct {
	name, arch, pkg string
	pinned          *pinned // the package, if it isn't Debian's; then it is only tried when asked for
}

var kernels = []kernel{
	{name: "6.1-amd64", arch: "amd64", pkg: `linux-image-6\.1\.0-[0-9]+-cloud-amd64`},
	{name: "6.12-amd64", arch: "amd64", pkg: `linux-image-6\.12\.[0-9]+\+deb12-cloud-amd64`},
	{name: "6.12-arm64", arch: "arm64", pkg: `linux-image-6\.12\.[0-9]+\+deb12-cloud-arm64`},
	// The oldest that we support, of which Debian 12 has none. Not every machine that reaches Debian's archive reaches this one.
	{name: "5.15-amd64", arch: "amd64", pinned: &pinned{
		url:    "http://archive.ubuntu.com/ubuntu/pool/main/l/linux-signed/linux-image-5.15.0-25-generic_5.15.0-25.25_amd64.deb",
		sha256: "ad56f8c442a54d4f5ff2dff010d00321d53e32b543f3a92f3ba4e042d20a71da",
	}},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kernels:", err)
		os.Exit(1)
	}
}

// run boots the kernels whose name matches the only argument, or all of Debian.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("kernels", flag.ContinueOnError)
	verbose := flags.Bool("v", false, "also print what the checked programs printed")
	if err := flags.Parse(args); err != nil {
		return err
	}
	only, err := regexp.Compile(flags.Arg(0))
	if err != nil {
		return err
	}
	dir, err := cacheDir()
	if err != nil {
		return err
	}
	packages, err := openDebian(filepath.Join(dir, "debian"))
	if err != nil {
		return err
	}
	var trials []trial
	for _, k := range kernels {
		if !only.MatchString(k.name) || k.pinned != nil && flags.NArg() == 0 {
			continue
		}
		t := k.try(ctx, packages, dir)
		trials = append(trials, t)
		if err := t.print(out, *verbose); err != nil {
			return err
		}
	}
	if len(trials) == 0 {
		return fmt.Errorf("no kernel is called %s", only)
	}
	if err := printTable(out, trials); err != nil {
		return err
	}
	return verdict(trials)
}

// cacheDir is where everything lies that a later run can use again.
func cacheDir() (string, error) {
	cache := os.Getenv("ASSAY_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(user, "assay")
	}
	return filepath.Abs(filepath.Join(cache, "kernels"))
}

// trial is what came of one kernel.
type trial struct {
	kernel  kernel
	version string // of the package
	log     string // the console's output
	took    time.Duration
	results []report.Result
	err     error // of the trial itself: no kernel, no boot, no end
}

// try fetches, packs, boots and reads.
func (k kernel) try(ctx context.Context, packages *debian, dir string) trial {
	start := time.Now()
	t := trial{kernel: k, log: filepath.Join(dir, k.name+".log")}
	t.err = t.run(ctx, packages, filepath.Join(dir, k.name+".cpio"))
	t.took = time.Since(start)
	return t
}

// image returns the path of the kernel's image, and notes its version.
func (t *trial) image(ctx context.Context, packages *debian) (string, error) {
	if p := t.kernel.pinned; p != nil {
		t.version = path.Base(p.url)
		return p.kernel(ctx, packages.dir)
	}
	name, err := packages.newest(t.kernel.pkg)
	if err != nil {
		return "", err
	}
	image, version, err := packages.kernel(name, t.kernel.arch)
	t.version = name + " " + version
	return image, err
}

func (t *trial) run(ctx context.Context, packages *debian, initramfs string) error {
	image, err := t.image(ctx, packages)
	if err != nil {
		return err
	}
	if err := pack(ctx, packages, initramfs, t.kernel.arch); err != nil {
		return err
	}
	bootErr := machines[t.kernel.arch].boot(ctx, image, initramfs, t.log)
	log, err := os.Open(t.log)
	if err != nil {
		return cmp.Or(bootErr, err)
	}
	defer log.Close()
	results, whole, err := report.Read(log)
	t.results = results
	if !whole && err == nil {
		err = errors.New("the guest stopped before its last check, see " + t.log)
	}
	return errors.Join(bootErr, err)
}
