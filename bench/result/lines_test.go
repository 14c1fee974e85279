// SPDX-License-Identifier: Apache-2.0

package result

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestReadRefuses(t *testing.T) {
	r := good(t, 0, "perf")
	first, err := r.line()
	if err != nil {
		t.Fatal(err)
	}
	check := func(line, want string) {
		t.Helper()
		_, err := Read(strings.NewReader(string(first) + line + "\n" + string(first)))
		if err == nil || err.Error() != "line 2: "+want {
			t.Errorf("%.60s: %v, want line 2: %s", line, err, want)
		}
	}
	check(`{"type":"record","version":2,"scenario":7}`, "version 2 is newer than what this assay reads (1): update assay")
	check(`{"type":"environment","version":9}`, "version 9 is newer than what this assay reads (1): update assay")
	check(`{"type":"comparison","version":1}`, `type "comparison", want record or environment`)
	check(`{"version":1}`, `type "", want record or environment`)
	check(`{"type":"record","version":1}`, `block 0, arm "": no scenario`)
	check(`{"type":"record","version":1,"block":"x"}`, "block: a string where another type is needed")
	check(`{"type":"environment","version":1}`, "no environment")
	check(`{"type":`, "no JSON at byte 9: unexpected end of JSON input")
	check(strings.Repeat(" ", maxLine), "longer than 16777216 bytes")
}

func TestReadSkipsWhatItMaySkip(t *testing.T) {
	c, err := Read(strings.NewReader("\n  \n" + `{"type":"environment","version":1,"id":"x","facts":{},"new":[1]}` + "\n\n"))
	if err != nil || len(c.Environments) != 1 || c.Cut != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := Read(strings.NewReader("")); err != nil || len(c.Records) != 0 {
		t.Errorf("nothing: %+v, %v", c, err)
	}
}

// FuzzRead: whatever a file holds, reading ends, and what was read can be written and read again, the same.
func FuzzRead(f *testing.F) {
	r, e := good(f, 0, "perf"), environment()
	record, err := r.line()
	if err != nil {
		f.Fatal(err)
	}
	facts, err := e.line()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Join([][]byte{facts, record, record[:50]}, nil))
	f.Add([]byte(`{"type":"record","version":1,"scenario":"s","kind":"k","arm":"a","environment":"e","start":"2026-01-01T00:00:00+01:00","failed":"x"}` + "\n"))
	f.Add([]byte("\n\n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		if c.end+c.Cut != int64(len(data)) {
			t.Fatalf("%d bytes in lines, %d after them, of %d", c.end, c.Cut, len(data))
		}
		again, err := Read(bytes.NewReader(relined(t, c)))
		if err != nil {
			t.Fatal(err)
		}
		same := cmp.Options{cmpopts.IgnoreUnexported(Contents{}), cmpopts.IgnoreFields(Contents{}, "Cut"), cmpopts.EquateEmpty()}
		if diff := cmp.Diff(c, again, same); diff != "" {
			t.Error(diff)
		}
	})
}

// relined is c written anew.
func relined(t *testing.T, c *Contents) []byte {
	t.Helper()
	var all []byte
	for i := range c.Environments {
		line, err := c.Environments[i].line()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, line...)
	}
	for i := range c.Records {
		line, err := c.Records[i].line()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, line...)
	}
	return all
}
