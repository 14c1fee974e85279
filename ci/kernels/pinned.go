// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"

	"github.com/assaylab/assay/internal/atomicfile"
)

// pinned is a package that debian has no list of: one version for ever, known by its sum.
type pinned struct {
	url, sha256 string
}

// maxPackage bounds what is fetched.
const maxPackage = 256 << 20

// kernel returns the path of the kernel image that the package holds, fetched and unpacked once.
func (p *pinned) kernel(ctx context.Context, dir string) (string, error) {
	image := filepath.Join(dir, "images", path.Base(p.url))
	return image, p.unpack(ctx, dir, image, unpackKernel)
}

// tree returns the folder of the package's files, fetched and unpacked once.
func (p *pinned) tree(ctx context.Context, dir string) (string, error) {
	tree := filepath.Join(dir, "trees", path.Base(p.url))
	return tree, p.unpack(ctx, dir, tree, unpackTree)
}

// unpack makes of the package what is to be at a path, unless it is there.
func (p *pinned) unpack(ctx context.Context, dir, to string, unpack func(packed, to string) error) error {
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	packed := filepath.Join(dir, path.Base(p.url))
	if err := atomicfile.Write(packed, 0o644, func(w io.Writer) error { return p.fetch(ctx, w) }); err != nil {
		return fmt.Errorf("%s: %w", p.url, err)
	}
	if err := unpack(packed, to); err != nil {
		return err
	}
	return os.Remove(packed)
}

func (p *pinned) fetch(ctx context.Context, w io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(answer.Body, maxPackage)); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.sha256 {
		return fmt.Errorf("its sum is %s, not %s", got, p.sha256)
	}
	return nil
}
