// SPDX-License-Identifier: Apache-2.0

package symbolize

import (
	"strings"
	"testing"
)

func TestJITFrame(t *testing.T) {
	for _, c := range []struct {
		in   string
		want frame // without a symbol: what it is when there is nothing to clean
	}{
		{"JS:*turn file:///tmp/v8.mjs:1:19", frame{name: "turn", file: "/tmp/v8.mjs", line: 1}},
		{"JS:^get weight file:///tmp/a%20b/v8.mjs:105:7", frame{name: "get weight", file: "/tmp/a b/v8.mjs", line: 105}},
		{"JS:~ file:///tmp/v8.mjs:3:35", frame{name: "<anonymous>", file: "/tmp/v8.mjs", line: 3}},
		{"JS:+'resolve node:path:1217:10", frame{name: "resolve", file: "node:path", line: 1217}},
		{"JS:*evaled :1:17", frame{name: "evaled", line: 1}},
		{"Script:~ file:///tmp/v8.mjs:1:1", frame{name: "<script>", file: "/tmp/v8.mjs", line: 1}},
		{"Eval:~ node:internal/fs/promises:1:1", frame{name: "<eval>", file: "node:internal/fs/promises", line: 1}},
		{"LazyCompile:~main /app/a b.js:12", frame{name: "main", file: "/app/a b.js", line: 12}},
		{"LazyCompile:*main /app/a.js:12:3", frame{name: "main", file: "/app/a.js", line: 12}},
		{"Function:~x evalmachine.<anonymous>:2:3", frame{name: "x", file: "evalmachine.<anonymous>", line: 2}},
		{"Builtin:ArrayPrototypeSort", frame{name: "Builtin:ArrayPrototypeSort"}},
		{"RegExp:a(b|c)+d", frame{name: "RegExp:a(b|c)+d"}},
		{"JS:*", frame{name: "JS:*"}},
		{"void Split.turn(long)", frame{name: "Split.turn", symbol: "void Split.turn(long)"}},
		{"java.lang.Object[] java.util.ArrayList.<init>(int, java.lang.Object[])", frame{
			name: "java.util.ArrayList.<init>", symbol: "java.lang.Object[] java.util.ArrayList.<init>(int, java.lang.Object[])",
		}},
		{"boolean a.B$$Lambda$100/0x00007f6f7005abd0.getAsBoolean()", frame{
			name: "a.B$$Lambda.getAsBoolean", symbol: "boolean a.B$$Lambda$100/0x00007f6f7005abd0.getAsBoolean()",
		}},
		{"I2C/C2I adapters", frame{name: "I2C/C2I adapters"}},
		{"java.lang.String::hashCode", frame{name: "java.lang.String::hashCode"}},
		{"JS:*f " + strings.Repeat("9", 40) + ":" + strings.Repeat("9", 40), frame{name: "JS:*f " + strings.Repeat("9", 40) + ":" + strings.Repeat("9", 40)}},
	} {
		c.want.start = c.want.line
		if c.want.symbol == "" {
			c.want.symbol = c.want.name
		}
		if c.want.line > 0 {
			c.want.symbol = c.want.file + ":" + c.want.name
		}
		if got := jitFrame(c.in); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.in, got, c.want)
		}
	}
}
