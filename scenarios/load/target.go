// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/assaylab/assay/scenarios"
)

// A target is what is asked of whom.
type target struct {
	addresses []string      // to try in turn
	request   []byte        // as it goes over the wire
	timeout   time.Duration // for one request and its answer
}

// newTarget makes requests to a service on this machine. Any other is refused: a load generator that is pointed at others by a slip of
// the keys is a weapon.
func newTarget(address string, v scenarios.Values) (*target, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("url %q: want http://127.0.0.1:PORT, http://[::1]:PORT or http://localhost:PORT", address)
	}
	hosts := loopback(u.Hostname())
	if hosts == nil {
		return nil, fmt.Errorf("url %q: only this machine may be loaded: want a host in 127.0.0.0/8, ::1 or localhost", address)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	t := &target{timeout: v.Duration("timeout")}
	for _, host := range hosts {
		t.addresses = append(t.addresses, net.JoinHostPort(host, port))
	}
	if path := v.Text("path"); path != "" {
		if u, err = u.Parse(path); err != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
			return nil, fmt.Errorf("path %q: want one that begins with a slash, such as /search?q=x", path)
		}
	}
	t.request, err = encode(u, v)
	return t, err
}

// loopback returns the addresses of a host if all of them are this machine's own. It asks no resolver, which could answer anything.
func loopback(host string) []string {
	if strings.EqualFold(host, "localhost") {
		return []string{"127.0.0.1", "::1"}
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() {
		return []string{host}
	}
	return nil
}

// encode makes the bytes of a request.
func encode(u *url.URL, v scenarios.Values) ([]byte, error) {
	var request fasthttp.Request
	request.Header.SetMethod(v.Text("method"))
	request.SetRequestURI(u.String())
	if size := v.Size("body_size"); size > 0 {
		if request.Header.IsGet() {
			return nil, fmt.Errorf("body_size %s: GET has no body: want the method POST or PUT", v.Text("body_size"))
		}
		body := make([]byte, size)
		for i, random := 0, rand.New(rand.NewPCG(uint64(v.Int("seed")), 0)); i < size; i++ {
			body[i] = byte(random.Uint32())
		}
		request.SetBodyRaw(body)
		request.Header.SetContentType("application/octet-stream")
	}
	var text bytes.Buffer
	w := bufio.NewWriter(&text)
	if err := request.Write(w); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	err := w.Flush()
	return text.Bytes(), err
}
