// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/assaylab/assay/scenarios"
)

// costs are what a request costs the built-in service, in this order; its zero value costs nothing.
type costs struct {
	cpu  time.Duration // of a CPU, beside others
	lock time.Duration // of a CPU, while holding a lock that all requests take
	io   int           // bytes written to a file, and to its disk
	// stalls are planted, so that there is a truth to find: in the last stallFor of each stallEvery nothing is answered.
	stallEvery, stallFor time.Duration
}

func serviceParams() []scenarios.Param {
	return []scenarios.Param{
		{Name: "cpu", Type: scenarios.Duration, Default: "0s", Max: 10, About: "CPU time that each request takes"},
		{Name: "lock", Type: scenarios.Duration, Default: "0s", Max: 10, About: "CPU time that each request takes while it holds a lock that all share"},
		{Name: "io", Type: scenarios.Size, Default: "0", Max: 1 << 30, About: "bytes that each request writes to a file in TMPDIR, and syncs"},
		{Name: "stall_every", Type: scenarios.Duration, Default: "0s", Max: 3600, About: "how often the service stalls; 0s: never"},
		{Name: "stall_for", Type: scenarios.Duration, Default: "0s", Max: 3600, About: "how long, at the end of each stall_every, it answers nothing"},
	}
}

func newCosts(v scenarios.Values) (costs, error) {
	c := costs{
		cpu: v.Duration("cpu"), lock: v.Duration("lock"), io: v.Size("io"),
		stallEvery: v.Duration("stall_every"), stallFor: v.Duration("stall_for"),
	}
	if c.stallFor > 0 && c.stallFor >= c.stallEvery {
		return c, fmt.Errorf("stall_for %v in each stall_every %v: want it shorter, so that something is answered", c.stallFor, c.stallEvery)
	}
	return c, nil
}

// stalled returns how much of a stall is left at a time from the start.
func (c *costs) stalled(at time.Duration) time.Duration {
	if c.stallFor == 0 {
		return 0
	}
	into := at % c.stallEvery
	if into < c.stallEvery-c.stallFor {
		return 0
	}
	return c.stallEvery - into
}

// A stallClock is when stalls of a run are, and ends them: one alarm for all who wait, since a timer of the runtime's is late by up to a
// millisecond, which is 2% of half a stall of 100 ms.
type stallClock struct {
	epoch time.Time     // from which they count
	over  chan struct{} // closed when the run is over, and so its stalls

	mu    sync.Mutex
	ended chan struct{} // closed at the end of the stall that is on or comes next, and made anew
}

// next is closed when the stall that is on ends; where none is, when the next does.
func (c *stallClock) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// ring ends each stall in its time, until the alarm's context is done.
func (c *stallClock) ring(bell *alarm, every time.Duration) error {
	for end := c.epoch.Add(every); ; end = end.Add(every) {
		if err := bell.wait(end); err != nil {
			return err
		}
		c.mu.Lock()
		close(c.ended)
		c.ended = make(chan struct{})
		c.mu.Unlock()
	}
}

// A service answers HTTP on 127.0.0.1, at a port of its own, in this process.
type service struct {
	costs    costs
	run      atomic.Pointer[stallClock] // of the run that is on; nil: none is
	listener net.Listener
	server   fasthttp.Server
	file     *os.File // nil: no I/O
	block    []byte   // what is written to it
	lock     sync.Mutex

	closing context.Context
	end     context.CancelFunc
	serving sync.WaitGroup
}

// startService starts a service. Its errors leave nothing behind.
func startService(ctx context.Context, c costs) (*service, error) {
	s := &service{costs: c}
	if c.io > 0 {
		if err := s.makeFile(); err != nil {
			return nil, err
		}
	}
	var err error
	var l net.ListenConfig
	if s.listener, err = l.Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, errors.Join(err, s.removeFile())
	}
	// fasthttp's own accept loop has goroutines that outlive it by seconds, as has its date.
	s.server = fasthttp.Server{Handler: s.answer, NoDefaultDate: true, NoDefaultServerHeader: true, MaxRequestBodySize: 1 << 30}
	s.closing, s.end = context.WithCancel(context.Background())
	s.serving.Go(s.accept)
	return s, nil
}

func (s *service) url() string { return "http://" + s.listener.Addr().String() }

// accept serves each connection until the listener is closed.
func (s *service) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if s.closing.Err() != nil {
				return
			}
			time.Sleep(time.Millisecond) // too many open files: some will be closed
			continue
		}
		s.serving.Go(func() {
			forget := context.AfterFunc(s.closing, func() {
				conn.Close() //nolint:errcheck // who is served sees it
			})
			defer forget()
			s.server.ServeConn(conn) //nolint:errcheck // the client sees what is wrong, and says it
		})
	}
}

// sizeHeader is the header of a request that asks for an answer of so many bytes, at most maxAnswer.
const sizeHeader = "Assay-Size"

// answer does a request's work, and answers it when no stall is on.
func (s *service) answer(r *fasthttp.RequestCtx) {
	if err := s.work(); err != nil {
		r.Error(err.Error(), fasthttp.StatusInternalServerError)
		return
	}
	if clock := s.run.Load(); clock != nil {
		s.stall(clock)
	}
	size, err := strconv.Atoi(string(r.Request.Header.Peek(sizeHeader)))
	if err != nil {
		r.SetBodyString("ok\n")
		return
	}
	r.SetBody(make([]byte, max(0, min(size, maxAnswer))))
}

// stall waits while there is a stall.
func (s *service) stall(clock *stallClock) {
	for {
		ended := clock.next() // before the look at the time, so that an end in between isn't missed
		if s.costs.stalled(time.Since(clock.epoch)) == 0 {
			return
		}
		select {
		case <-ended:
		case <-clock.over:
			return
		}
	}
}

func (s *service) work() error {
	err := spin(s.costs.cpu)
	if s.costs.lock > 0 && err == nil {
		s.lock.Lock()
		err = spin(s.costs.lock)
		s.lock.Unlock()
	}
	if s.file == nil || err != nil {
		return err
	}
	if _, err := s.file.WriteAt(s.block, 0); err != nil {
		return err
	}
	return s.file.Sync()
}

// begin says from when stalls count; end ends them, also the one that is on.
func (s *service) begin(epoch time.Time) (end func() error, err error) {
	if s.costs.stallFor == 0 {
		return func() error { return nil }, nil
	}
	clock := &stallClock{epoch: epoch, over: make(chan struct{}), ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	bell, err := newAlarm(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	rung := make(chan error, 1)
	go func() { rung <- clock.ring(bell, s.costs.stallEvery) }()
	s.run.Store(clock)
	return func() error {
		s.run.Store(nil)
		cancel()
		err := <-rung
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		close(clock.over)
		return errors.Join(err, bell.close())
	}, nil
}

// close ends the service and what it serves, and removes its file. No run may be on.
func (s *service) close() error {
	s.end()
	err := s.listener.Close()
	s.serving.Wait()
	return errors.Join(err, s.removeFile())
}

func (s *service) makeFile() (err error) {
	if s.file, err = os.CreateTemp("", "assay-load-"); err != nil {
		return err
	}
	s.block = make([]byte, s.costs.io)
	for i := range s.block { // as compressible as data is that isn't
		s.block[i] = byte(rand.Uint32())
	}
	return nil
}

func (s *service) removeFile() error {
	if s.file == nil {
		return nil
	}
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}
