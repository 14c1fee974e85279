// SPDX-License-Identifier: Apache-2.0

package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/assaylab/assay/scenarios"
	"github.com/assaylab/assay/scenarios/network/lab"
	"github.com/assaylab/assay/scenarios/network/pcap"
)

// How fast packets go.
const (
	paceRecorded = "recorded"
	paceRate     = "rate"
	paceTop      = "top"
)

// How packets are sent.
const (
	sendAuto   = "auto"
	sendXDP    = "xdp"
	sendPacket = "packet"
)

func replayKind() scenarios.Kind {
	return scenarios.Kind{
		Name: "network/replay", About: "Sends the packets of a recording over the cable, as they are, again and again.",
		Needs: []scenarios.Need{scenarios.NeedRoot},
		Params: []scenarios.Param{
			{Name: "file", Type: scenarios.Path, About: "the recording, pcap or pcapng. Needed"},
			{
				Name: "pace", Type: scenarios.Choice, Default: paceRecorded, Choices: []string{paceRecorded, paceRate, paceTop},
				About: "recorded: at the times of the recording; rate: at a rate; top: as fast as they go",
			},
			{Name: "speed", Type: scenarios.Float, Default: "1", Min: 0.001, Max: 1000, About: "of pace recorded: 2 is twice as fast"},
			{Name: "rate", Type: scenarios.Int, Default: "10000", Min: 1, Max: 10e6, About: "packets per second, of pace rate"},
			{
				Name: "send", Type: scenarios.Choice, Default: sendAuto, Choices: []string{sendAuto, sendXDP, sendPacket},
				About: "packet: by a packet socket; xdp, of pace top: by an XDP program from inside the kernel; auto: xdp where pace and kernel allow it",
			},
		},
		New: func(v scenarios.Values) (scenarios.Workload, error) {
			if v.Text("file") == "" {
				return nil, errors.New("parameter file: it's empty; want a recording of packets (pcap or pcapng)")
			}
			if v.Text("send") == sendXDP && v.Text("pace") != paceTop {
				return nil, fmt.Errorf("parameter send: xdp has no pace %s; want pace top, or send packet", v.Text("pace"))
			}
			return &replaying{
				file: v.Text("file"), pace: v.Text("pace"), speed: v.Float("speed"), rate: v.Int("rate"), how: v.Text("send"),
			}, nil
		},
	}
}

// replaying sends the packets of a recording.
type replaying struct {
	file, pace, how string
	speed           float64
	rate            int
	recording       *pcap.Recording
	lab             *lab.Lab
	socket          int           // AF_PACKET, of the sender
	live            *live         // nil where the socket sends
	arrivals        *lab.Arrivals // nil at top speed
	notes           []string      // what can't be had here
}

// Prepare reads the recording, makes the lab and what sends. After an error it has removed them.
func (r *replaying) Prepare(context.Context) (err error) {
	if r.recording, err = pcap.Open(r.file); err != nil {
		return err
	}
	if r.lab, err = lab.New(lab.Options{MTU: max(lab.MTU, r.recording.Longest-etherHeader), Silent: true}); err != nil {
		r.lab = nil
		return err
	}
	if r.socket, err = packetSocket(r.lab.Sender); err != nil {
		err = errors.Join(err, r.lab.Close())
		r.lab = nil
		return err
	}
	if err := r.equip(); err != nil {
		return errors.Join(err, r.Close())
	}
	return nil
}

// equip makes what a replay can do without: a faster way to send, or times of arrival.
func (r *replaying) equip() (err error) {
	if r.pace != paceTop {
		if r.arrivals, err = r.lab.TimeArrivals(); err != nil {
			r.notes = append(r.notes, fmt.Sprintf("how late packets arrive is not known: %v", err))
		}
		return nil
	}
	if r.how == sendPacket {
		return nil
	}
	if r.live, err = newLive(r.recording, r.lab); err != nil && r.how == sendAuto {
		r.notes = append(r.notes, fmt.Sprintf("sent by a packet socket, which is slower than XDP, because that can't be had: %v", err))
		return nil
	}
	return err
}

const etherHeader = 14

// packetSocket sends whole frames out of a space's end of the cable, past its queueing discipline.
func packetSocket(from *lab.Space) (fd int, err error) {
	index, err := from.Index()
	if err != nil {
		return 0, err
	}
	err = from.Do(func() error {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		err = cmp.Or(unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1), unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index}))
		if err != nil {
			return errors.Join(fmt.Errorf("packet socket: %w", err), unix.Close(fd))
		}
		return nil
	})
	return fd, err
}

// Run sends until the time is over. When the recording is at its end, it begins again.
func (r *replaying) Run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	if r.lab == nil {
		return nil, errors.New("network/replay: not prepared")
	}
	before, err := r.lab.Receiver.Arrived()
	if err != nil {
		return nil, err
	}
	s := sending{r: r, errors: scenarios.NewHistogram()}
	if err := r.lab.Sender.Do(func() error { return s.send(ctx, d) }); err != nil {
		return nil, err
	}
	if err := s.arrival.finish(); err != nil {
		return nil, err
	}
	after, err := r.lab.Receiver.Arrived()
	if err != nil {
		return nil, err
	}
	return s.outcome(float64(after.Packets-before.Packets), float64(after.Bytes-before.Bytes)), nil
}

// Close removes the lab.
func (r *replaying) Close() error {
	if r.lab == nil {
		return nil
	}
	err := unix.Close(r.socket)
	if r.live != nil {
		err = errors.Join(err, r.live.close())
	}
	if r.arrivals != nil {
		err = errors.Join(err, r.arrivals.Close())
	}
	err = errors.Join(err, r.lab.Close())
	r.live, r.arrivals, r.lab, r.notes = nil, nil, nil, nil
	return err
}

// sending is one run.
type sending struct {
	r       *replaying
	sent    int64
	bytes   int64
	refused int64         // by the device, as when it had no room
	passes  int64         // through the recording, that were begun
	base    time.Duration // when this pass began; not at top speed
	elapsed time.Duration
	errors  *hdrhistogram.Histogram // nanoseconds that packets were sent after they were due; nil at top speed
	arrival *punctuality            // nil where it isn't looked for
	// refusedUrgency: the thread was to run before all others, and may not.
	refusedUrgency bool
}

// send sends. It must run on a thread of the sender's space that ends with it. A packet waits until a batch of the kernel's is due.
func (s *sending) send(ctx context.Context, d time.Duration) error {
	if s.r.live != nil {
		s.errors = nil
		return s.sendLive(ctx, d)
	}
	if err := preciseTimers(); err != nil {
		return err
	}
	b := newBatch(s.r.recording)
	start := time.Now()
	defer func() { s.elapsed = time.Since(start) }()
	if s.r.pace == paceTop {
		s.errors = nil
		return s.flood(ctx, b, start, d)
	}
	if s.r.arrivals != nil {
		var err error
		if s.arrival, err = newPunctuality(s.r.arrivals, start); err != nil {
			return err
		}
	}
	if s.gap() > minGap {
		undo, err := hurry()
		s.refusedUrgency = err != nil
		defer undo()
	}
	return s.paced(ctx, b, start, d)
}

// flood sends whole batches, as fast as the kernel takes them.
func (s *sending) flood(ctx context.Context, b *batch, start time.Time, d time.Duration) error {
	n := s.r.recording.Len()
	for at := 0; ; {
		if at == 0 {
			s.passes++
		}
		count := min(maxBatch, n-at)
		if err := s.hand(b, at, count); err != nil {
			return err
		}
		if at = (at + count) % n; time.Since(start) >= d || ctx.Err() != nil {
			return nil
		}
	}
}

// maxSpin is the longest time before a packet is due at which sleeping ends and looking at the clock begins. Where packets come faster it is half of the time
// between two of them.
const maxSpin = 100 * time.Microsecond

// minGap is how long there must be from packet to packet in the mean for the thread to run before all others: with less it would hardly sleep, and
// the kernel stops such threads for 50 ms in each second (sched_rt_runtime_us).
const minGap = 20 * time.Microsecond

// paced sends each packet when it is due. Those that are due at the same time, or already, go together.
func (s *sending) paced(ctx context.Context, b *batch, start time.Time, d time.Duration) error {
	n := s.r.recording.Len()
	spin := min(s.gap()/2, maxSpin)
	for at := 0; ctx.Err() == nil; {
		due := s.base + s.due(at)
		if due >= d {
			return nil
		}
		now := time.Since(start)
		for ; now < due && ctx.Err() == nil; now = time.Since(start) {
			if left := due - now; left > spin {
				nap(left - spin)
			}
		}
		count := 1
		for count < maxBatch && at+count < n && s.base+s.due(at+count) <= now {
			count++
		}
		for i := range count {
			scenarios.Note(s.errors, now-s.base-s.due(at+i))
		}
		if at == 0 {
			s.passes++
		}
		if err := s.hand(b, at, count); err != nil {
			return err
		}
		if at += count; at == n {
			at, s.base = 0, s.base+s.passLength()
		}
	}
	return nil
}

// due is when a packet is due after the begin of a pass.
func (s *sending) due(i int) time.Duration {
	if s.r.pace == paceRate {
		return time.Duration(float64(i) / float64(s.r.rate) * float64(time.Second))
	}
	return time.Duration(float64(s.r.recording.Due(i)) / s.r.speed)
}

// passLength is how long a pass takes: after the last packet as much time goes by as is between two of them in the mean.
func (s *sending) passLength() time.Duration {
	n := s.r.recording.Len()
	if s.r.pace == paceRate {
		return s.due(n)
	}
	return max(s.due(n-1)+s.due(n-1)/time.Duration(max(1, n-1)), time.Microsecond)
}

// gap is the time from a packet to the next, in the mean.
func (s *sending) gap() time.Duration { return s.passLength() / time.Duration(s.r.recording.Len()) }

// hand gives packets to the kernel until it has all of them. One that it refuses is left out, and counted.
func (s *sending) hand(b *batch, at, count int) error {
	for count > 0 {
		sent, err := b.send(s.r.socket, at, count)
		switch {
		case errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EAGAIN):
			s.refused++
			at, count = at+1, count-1
			continue
		case err != nil:
			return fmt.Errorf("send packet %d of %s: %w", at+1, s.r.file, err)
		}
		for i := range sent {
			s.bytes += int64(len(s.r.recording.Frame(at + i)))
			s.arrival.sent(s.base + s.due(at+i))
		}
		s.sent += int64(sent)
		at, count = at+sent, count-sent
	}
	return s.arrival.look()
}

func (s *sending) outcome(arrived, arrivedBytes float64) *scenarios.Outcome {
	o := &scenarios.Outcome{Elapsed: s.elapsed, Operations: s.sent, Errors: s.refused, Lateness: s.errors, Notes: slices.Clone(s.r.notes), Values: map[string]float64{
		"sent_bytes": float64(s.bytes), "arrived_count": arrived, "arrived_bytes": arrivedBytes, "lost_count": max(0, float64(s.sent)-arrived),
		"passes_count": float64(s.passes),
	}}
	if s.errors != nil {
		o.Values["timing_error_p50_ns"] = float64(s.errors.ValueAtQuantile(50))
		o.Values["timing_error_p99_ns"] = float64(s.errors.ValueAtQuantile(99))
		if s.refusedUrgency {
			o.Notes = append(o.Notes, "the sender could not run before all others (SCHED_FIFO), so packets may be later than they need be: use sudo")
		}
	}
	s.arrival.tell(o, arrived == float64(s.sent))
	rec := s.r.recording
	say := func(n int, text string) {
		if n > 0 {
			o.Notes = append(o.Notes, fmt.Sprintf("%d %s", n, text))
		}
	}
	say(rec.Snapped, "packets were recorded in part: zeros stand for the rest")
	say(rec.Backwards, "packets are older than one before them: they go with it")
	say(rec.BadLength, "packets are too short or too long for a cable: left out")
	say(rec.OtherLink, "packets are of another link type: left out")
	if rec.RawIP {
		o.Notes = append(o.Notes, "packets without an Ethernet header got one")
	}
	if rec.Broken != nil {
		o.Notes = append(o.Notes, "the recording is cut off: "+rec.Broken.Error())
	}
	return o
}

// maxBatch is how many packets go with one system call: with more, the receiver's queue of 300 (netdev_budget) overflows now and then.
const maxBatch = 64

// A batch is what sendmmsg(2) takes, for up to maxBatch packets that follow each other in a recording.
type batch struct {
	recording *pcap.Recording
	vectors   [maxBatch]unix.Iovec
	messages  [maxBatch]message
}

// message is struct mmsghdr of the kernel (include/linux/socket.h).
type message struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

func newBatch(recording *pcap.Recording) *batch {
	b := &batch{recording: recording}
	for i := range b.messages {
		b.messages[i].header.Iov = &b.vectors[i]
		b.messages[i].header.SetIovlen(1)
	}
	return b
}

// send hands over packets, and returns how many the kernel took: at least one without an error.
func (b *batch) send(fd, at, count int) (int, error) {
	for i := range count {
		frame := b.recording.Frame(at + i)
		b.vectors[i].Base = &frame[0]
		b.vectors[i].SetLen(len(frame))
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.messages[0])), uintptr(count), 0, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
