package replay

import (
	"fmt"
	"github.com/assaylab/assay/scenarios/syscall/trace"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestZZ(t *testing.T) {
	for _, n := range strings.Fields(os.Getenv("ZZ")) {
		f, err := os.Open(n)
		if err != nil {
			t.Fatal(err)
		}
		r, err := trace.Load(f)
		if err != nil {
			t.Error(err)
			continue
		}
		sp, _ := strconv.ParseFloat(os.Getenv("SPEED"), 64)
		x, err := New(r, Options{Folder: os.Getenv("FOLDER"), Speed: sp})
		if err != nil {
			t.Error(err)
			continue
		}
		if err := x.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		reps, _ := strconv.Atoi(os.Getenv("REPS"))
		for range max(reps, 1) {
			fd, err := x.Run(t.Context())
			if err != nil {
				t.Error(n, err)
				break
			}
			a, b := fd.Times()
			var N, R, S, L, W, D int64
			for _, c := range fd.Calls {
				N += c.Recorded
				R += c.Replayed
				S += c.Substituted
				L += c.LeftOut
				W += c.Withheld
				D += c.Differ
			}
			fmt.Printf("%s: elapsed %v span %v cut %v empty %v base %v rec %v live %v ratio %.3f err %.3f calls %d replayed %d subst %d left %d withheld %d differ %d\n", n, fd.Elapsed.Round(time.Microsecond), fd.Span, fd.Cut, fd.Empty, r.Header.Empty, a, b, float64(b)/float64(a), fd.TimingError(), N, R, S, L, W, D)
			if os.Getenv("V") != "" {
				for i, c := range fd.Calls {
					if i < 20 || c.Differ+c.LeftOut+c.Withheld > 0 {
						k := max(c.Replayed+c.Substituted, 1)
						fmt.Printf("   %-18s rec %d rep %d sub %d left %d wh %d diff %d  mean %v -> %v\n", c.Name, c.Recorded, c.Replayed, c.Substituted, c.LeftOut, c.Withheld, c.Differ, c.RecordedTime/time.Duration(k), c.ReplayedTime/time.Duration(k))
					}
				}
			}
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
}
