// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/assaylab/assay/scenarios"
)

func postgresKind() scenarios.Kind {
	return scenarios.Kind{
		Name:  "load/postgres",
		About: "starts a PostgreSQL server and reads and changes rows at random, by their primary key",
		Needs: []scenarios.Need{"postgres", "initdb"},
		Params: slices.Concat([]scenarios.Param{
			{Name: "rows", Type: scenarios.Int, Default: "10000", Min: 1, Max: 100e6, About: "that there are, of about 100 bytes"},
			{Name: "writes", Type: scenarios.Float, Default: "0", Max: 1, About: "share of transactions that change a row; the others read one"},
			portParam(),
		}, generatorParams()),
		New: func(v scenarios.Values) (scenarios.Workload, error) {
			g, err := newGenerator(v)
			return &postgresLoad{values: v, generator: g}, err
		},
	}
}

// The statements that are prepared on each connection; a transaction is one of them.
const (
	readRow   = "SELECT balance FROM accounts WHERE id = $1"
	changeRow = "UPDATE accounts SET balance = balance + 1 WHERE id = $1"
)

type postgresLoad struct {
	values    scenarios.Values
	generator *generator
	server    *server
	password  string
}

// Prepare makes a cluster, starts its server and fills a table. Data that is thrown away needs no fsync.
func (l *postgresLoad) Prepare(ctx context.Context) (err error) {
	if err := l.generator.prepare(); err != nil {
		return err
	}
	if l.server, err = newServer(ctx, "postgres", l.values.Int("port")); err != nil {
		return err
	}
	if err := l.makeCluster(); err != nil {
		return err
	}
	settings := []string{"-D", l.server.path("data"), "-p", strconv.Itoa(l.server.port)}
	for _, s := range []string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "autovacuum=off",
		"max_connections=" + strconv.Itoa(l.values.Int("connections")+10),
		"dynamic_shared_memory_type=mmap", // in the folder: nothing is left in /dev/shm whatever happens
	} {
		settings = append(settings, "-c", s)
	}
	if err := l.server.start(ctx, settings...); err != nil {
		return err
	}
	return l.fill(ctx)
}

func (l *postgresLoad) makeCluster() error {
	l.password = rand.Text()
	if err := l.server.write("password", []byte(l.password)); err != nil {
		return err
	}
	cmd, err := l.server.command("initdb", "-D", l.server.path("data"), "-U", "assay", "--pwfile", l.server.path("password"),
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w%s", err, lastLine(out))
	}
	return nil
}

func (l *postgresLoad) fill(ctx context.Context) error {
	conn, err := l.firstConnection(ctx)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE TABLE accounts (id integer PRIMARY KEY, balance integer NOT NULL, filler char(84) NOT NULL)").ReadAll()
	if err == nil {
		_, err = conn.Exec(ctx, fmt.Sprintf("INSERT INTO accounts SELECT n, 0, '' FROM generate_series(1, %d) n", l.values.Int("rows"))).ReadAll()
	}
	if err == nil {
		_, err = conn.Exec(ctx, "VACUUM ANALYZE accounts").ReadAll()
	}
	return errors.Join(err, conn.Close(ctx))
}

// firstConnection waits until the server is done with starting: it accepts connections before, to say that it is not.
func (l *postgresLoad) firstConnection(ctx context.Context) (*pgconn.PgConn, error) {
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		conn, err := l.connect(ctx)
		starting := new(pgconn.PgError)
		if err == nil || !errors.As(err, &starting) || starting.Code != "57P03" || time.Since(began) > startLimit {
			return conn, err
		}
	}
}

func (l *postgresLoad) connect(ctx context.Context) (*pgconn.PgConn, error) {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("assay", l.password), Host: l.server.address(), Path: "/postgres", RawQuery: "sslmode=disable"}
	return pgconn.Connect(ctx, u.String())
}

func (l *postgresLoad) Run(ctx context.Context, d time.Duration) (_ *scenarios.Outcome, err error) {
	sessions := make([]session, l.values.Int("connections"))
	operators := make([]operator, len(sessions))
	defer func() {
		for i := range sessions {
			err = errors.Join(err, sessions[i].close())
		}
	}()
	for i := range sessions {
		source := mathrand.NewPCG(0, 0)
		sessions[i] = session{load: l, timeout: l.values.Duration("timeout"), source: source, random: mathrand.New(source)}
		operators[i] = &sessions[i]
		if err := sessions[i].connect(ctx); err != nil {
			return nil, err
		}
	}
	return l.generator.run(ctx, time.Now(), d, operators)
}

func (l *postgresLoad) Close() error { return l.server.close() }

// A session is a connection to PostgreSQL, and so an operator.
type session struct {
	load    *postgresLoad
	timeout time.Duration
	conn    *pgconn.PgConn // nil: not connected
	source  *mathrand.PCG
	random  *mathrand.Rand
}

func (s *session) connect(ctx context.Context) (err error) {
	if s.conn, err = s.load.connect(ctx); err != nil {
		return err
	}
	for name, statement := range map[string]string{"read": readRow, "change": changeRow} {
		if _, err := s.conn.Prepare(ctx, name, statement, nil); err != nil {
			return err
		}
	}
	return nil
}

// operate does a transaction. What the n-th does depends on the seed and on n alone.
func (s *session) operate(ctx context.Context, n int) error {
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if s.conn == nil || s.conn.IsClosed() { // an error that isn't about the statement closes it
		if err := s.connect(limited); err != nil {
			return err
		}
	}
	s.source.Seed(uint64(s.load.values.Int("seed")), uint64(n))
	id := strconv.AppendInt(nil, 1+s.random.Int64N(int64(s.load.values.Int("rows"))), 10)
	name := "read"
	if s.random.Float64() < s.load.values.Float("writes") {
		name = "change"
	}
	done := s.conn.ExecPrepared(limited, name, [][]byte{id}, nil, nil).Read()
	if done.Err == nil && done.CommandTag.RowsAffected() != 1 {
		return refusal(fmt.Sprintf("%s: %d rows, want 1", name, done.CommandTag.RowsAffected()))
	}
	return done.Err
}

func (s *session) close() error {
	if s.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), endLimit)
	defer cancel()
	return s.conn.Close(ctx)
}
