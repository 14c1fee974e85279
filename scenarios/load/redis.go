// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bufio"
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/assaylab/assay/scenarios"
)

func redisKind() scenarios.Kind {
	return scenarios.Kind{
		Name:  "load/redis",
		About: "starts a Redis server, which writes nothing to disk, and gets and sets keys at random",
		Needs: []scenarios.Need{"redis-server"},
		Params: slices.Concat([]scenarios.Param{
			{Name: "keys", Type: scenarios.Int, Default: "10000", Min: 1, Max: 10e6, About: "that there are"},
			{Name: "size", Type: scenarios.Size, Default: "100", Min: 1, Max: 1 << 20, About: "of a value"},
			{Name: "writes", Type: scenarios.Float, Default: "0.1", Max: 1, About: "share of commands that set a key; the others get one"},
			{Name: "pipeline", Type: scenarios.Int, Default: "1", Min: 1, Max: 1000, About: "commands that are sent together; an operation is all of them"},
			portParam(),
		}, generatorParams()),
		New: func(v scenarios.Values) (scenarios.Workload, error) {
			g, err := newGenerator(v)
			return &redisLoad{values: v, generator: g, value: randomBytes(v.Size("size"), uint64(v.Int("seed")))}, err
		},
	}
}

type redisLoad struct {
	values    scenarios.Values
	generator *generator
	server    *server
	value     []byte
}

// Prepare starts the server and sets all keys.
func (l *redisLoad) Prepare(ctx context.Context) (err error) {
	if err := l.generator.prepare(); err != nil {
		return err
	}
	if l.server, err = newServer(ctx, "redis-server", l.values.Int("port")); err != nil {
		return err
	}
	err = l.server.start(ctx, "--bind", "127.0.0.1", "--port", strconv.Itoa(l.server.port), "--dir", l.server.folder,
		"--save", "", "--appendonly", "no", "--maxclients", strconv.Itoa(maxConnections+32))
	if err != nil {
		return err
	}
	return l.fill(ctx)
}

func (l *redisLoad) fill(ctx context.Context) error {
	const together = 500
	c := client{addresses: []string{l.server.address()}, timeout: startLimit, dialog: &filling{load: l, together: together}}
	for n := range (l.values.Int("keys") + together - 1) / together {
		if err := c.operate(ctx, n); err != nil {
			return err
		}
	}
	return c.close()
}

func (l *redisLoad) Run(ctx context.Context, d time.Duration) (*scenarios.Outcome, error) {
	f := fleet{
		addresses: []string{l.server.address()}, timeout: l.values.Duration("timeout"), size: l.values.Int("connections"),
		dialog: func() dialog { return newRedisDialog(l) },
	}
	return f.run(ctx, d, l.generator)
}

func (l *redisLoad) Close() error { return l.server.close() }

// A filling sets all keys, some with each request.
type filling struct {
	load     *redisLoad
	together int
	commands respWriter
}

func (d *filling) request(n int) []byte {
	d.commands.reset()
	for key := n * d.together; key < min((n+1)*d.together, d.load.values.Int("keys")); key++ {
		d.commands.add("SET", keyName(key), d.load.value)
	}
	return d.commands.text
}

func (d *filling) answer(r *bufio.Reader) (bool, error) {
	return false, readReplies(r, d.commands.count)
}

// A redisDialog gets and sets. What the n-th request asks for depends on the seed and on n alone.
type redisDialog struct {
	commands     respWriter
	source       *rand.PCG
	random       *rand.Rand
	seed         uint64
	keys, length int
	writes       float64
	value        []byte
}

func newRedisDialog(l *redisLoad) *redisDialog {
	source := rand.NewPCG(0, 0)
	return &redisDialog{
		source: source, random: rand.New(source), seed: uint64(l.values.Int("seed")), keys: l.values.Int("keys"),
		length: l.values.Int("pipeline"), writes: l.values.Float("writes"), value: l.value,
	}
}

func (d *redisDialog) request(n int) []byte {
	d.source.Seed(d.seed, uint64(n))
	d.commands.reset()
	for range d.length {
		key := keyName(d.random.IntN(d.keys))
		if d.random.Float64() < d.writes {
			d.commands.add("SET", key, d.value)
		} else {
			d.commands.add("GET", key)
		}
	}
	return d.commands.text
}

func (d *redisDialog) answer(r *bufio.Reader) (bool, error) {
	return false, readReplies(r, d.commands.count)
}

func keyName(n int) []byte { return strconv.AppendInt([]byte("key:"), int64(n), 10) }
