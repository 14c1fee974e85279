// SPDX-License-Identifier: Apache-2.0

package debugfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Debuginfod fetches files from debuginfod servers (https://sourceware.org/elfutils/Debuginfod.html) into a folder, and keeps them there.
//
// A server that doesn't answer in time, or not as it should, isn't asked again: what a recording waits for it is bounded by
// Timeout for each server and Total for all.
type Debuginfod struct {
	URLs    []string      // of servers, tried in order
	Dir     string        // where files are kept
	Timeout time.Duration // without a byte from a server; 0 means 10 s
	Total   time.Duration // for all fetches; 0 means 3 min
	MaxFile int64         // bytes of a file; 0 means 2 GiB
	MaxDir  int64         // bytes in Dir, above which the files that were fetched first go; 0 means 4 GiB

	spent   time.Duration
	failed  map[string]error // servers that aren't asked again
	missing map[string]bool  // files that no server has
}

// FromEnvironment is the client that the variable DEBUGINFOD_URLS asks for: servers with blanks between; nil when it is empty. Files are kept in the
// user's cache folder.
func FromEnvironment() (*Debuginfod, error) {
	urls := strings.Fields(os.Getenv("DEBUGINFOD_URLS"))
	if len(urls) == 0 {
		return nil, nil
	}
	for _, u := range urls {
		if parsed, err := url.Parse(u); err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" {
			return nil, fmt.Errorf("DEBUGINFOD_URLS: %q is no http or https address", u)
		}
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("a folder to keep files of debuginfod in: %w", err)
	}
	return &Debuginfod{URLs: urls, Dir: filepath.Join(dir, "assay", "debuginfod")}, nil
}

func (d *Debuginfod) limits() (timeout, total time.Duration, maxFile, maxDir int64) {
	timeout, total, maxFile, maxDir = 10*time.Second, 3*time.Minute, 2<<30, 4<<30
	if d.Timeout > 0 {
		timeout = d.Timeout
	}
	if d.Total > 0 {
		total = d.Total
	}
	if d.MaxFile > 0 {
		maxFile = d.MaxFile
	}
	if d.MaxDir > 0 {
		maxDir = d.MaxDir
	}
	return timeout, total, maxFile, maxDir
}

// Fetch gives the path of a file of a kind, "debuginfo" or "executable", that has a build ID. The error is fs.ErrNotExist when every server
// says that it has none.
func (d *Debuginfod) Fetch(id, kind string) (string, error) {
	name := id + "." + kind
	path := filepath.Join(d.Dir, name)
	if image, err := openID(path, id); err == nil {
		return path, image.Close()
	}
	if d.missing[name] {
		return "", fmt.Errorf("debuginfod: %w", fs.ErrNotExist)
	}
	var errs []error
	for _, server := range d.URLs {
		err := d.failed[server]
		if err == nil {
			err = d.fetch(server, id, kind, path)
		}
		if err == nil {
			return path, nil
		}
		errs = append(errs, err)
		if !errors.Is(err, fs.ErrNotExist) {
			d.fail(server, err)
		}
	}
	if d.missing == nil {
		d.missing = make(map[string]bool)
	}
	d.missing[name] = true
	return "", errors.Join(errs...)
}

func (d *Debuginfod) fail(server string, err error) {
	if d.failed == nil {
		d.failed = make(map[string]error)
	}
	d.failed[server] = err
}

// Failed are the servers that went wrong, with the reason.
func (d *Debuginfod) Failed() map[string]error { return d.failed }

// fetch gets a file from a server.
func (d *Debuginfod) fetch(server, id, kind, path string) error {
	timeout, total, maxFile, maxDir := d.limits()
	if d.spent >= total {
		return fmt.Errorf("debuginfod: %v spent on waiting: no more is fetched", total)
	}
	start := time.Now()
	defer func() { d.spent += time.Since(start) }()
	whole, stop := context.WithTimeout(context.Background(), total-d.spent)
	defer stop()
	ctx, cancel := context.WithCancelCause(whole)
	defer cancel(nil)
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return err
	}
	if err := makeRoom(d.Dir, maxDir); err != nil {
		return err
	}
	body, err := get(ctx, cancel, strings.TrimSuffix(server, "/")+"/buildid/"+id+"/"+kind, timeout)
	if err != nil {
		return err
	}
	return errors.Join(keep(body, path, id, maxFile), body.Close())
}

// get asks for a file. When a server is silent for timeout, the context is cancelled.
func get(ctx context.Context, cancel context.CancelCauseFunc, address string, timeout time.Duration) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "assay")
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: timeout}).DialContext, TLSHandshakeTimeout: timeout,
		DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
	}
	watch := time.AfterFunc(timeout, func() { cancel(fmt.Errorf("silent for %v", timeout)) })
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		watch.Stop()
		return nil, fmt.Errorf("debuginfod: %w", err)
	}
	body := &watchedBody{response.Body, watch, timeout}
	switch response.StatusCode {
	case http.StatusOK:
		return body, nil
	case http.StatusNotFound:
		err = fmt.Errorf("debuginfod: %s: %w", address, fs.ErrNotExist)
	default:
		err = fmt.Errorf("debuginfod: %s: %s", address, response.Status)
	}
	return nil, errors.Join(err, body.Close())
}

// watchedBody puts the end off with each byte that comes.
type watchedBody struct {
	io.ReadCloser
	watch   *time.Timer
	timeout time.Duration
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.watch.Reset(b.timeout)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.watch.Stop()
	return b.ReadCloser.Close()
}

// keep writes what a server sends beside path, and puts it there when it is the wanted file.
func keep(body io.Reader, path, id string, maxFile int64) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), ".fetch-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	n, err := io.Copy(temp, io.LimitReader(body, maxFile+1))
	if err == nil && n > maxFile {
		err = fmt.Errorf("more than %d bytes", maxFile)
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("debuginfod: build ID %s: %w", id, err)
	}
	image, err := Open(temp.Name())
	if err != nil {
		return fmt.Errorf("debuginfod: build ID %s: %w", id, err)
	}
	sent := image.BuildID()
	if err := image.Close(); err != nil {
		return err
	}
	if sent != id {
		return fmt.Errorf("debuginfod: asked for build ID %s, got %q", id, sent)
	}
	return os.Rename(temp.Name(), path)
}

// makeRoom removes the files that were fetched first until at most size bytes are left.
func makeRoom(dir string, size int64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var files []fs.FileInfo
	sum := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // gone meanwhile, or not ours
		}
		files = append(files, info)
		sum += info.Size()
	}
	for sum > size && len(files) > 0 {
		oldest := 0
		for i, f := range files {
			if f.ModTime().Before(files[oldest].ModTime()) {
				oldest = i
			}
		}
		if err := os.Remove(filepath.Join(dir, files[oldest].Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		sum -= files[oldest].Size()
		files = append(files[:oldest], files[oldest+1:]...)
	}
	return nil
}
