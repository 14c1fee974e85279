// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assaylab/assay/profiler/doctor"
	"github.com/assaylab/assay/reports"
)

const (
	factsPage   = "../../docs/reference/facts.md"
	summaryPage = "../../docs/reference/summary.md"
)

// TestDocsFacts wants each key that the sources can write to be in the manual once, and no other; and that a profile has no key which
// escaped the look at the sources.
func TestDocsFacts(t *testing.T) {
	documented := documentedKeys(t, factsPage, "")
	if diff := cmp.Diff(factsInSources(t, "../../profiler", "."), sortedShapes(documented)); diff != "" {
		t.Errorf("%s, - sources, + manual:\n%s", factsPage, diff)
	}
	r := record(t, "--quiet", "--mode", "cpu,offcpu,wall", "--duration", "300ms")
	for _, f := range r.facts {
		if !describes(documented, f.Key) {
			t.Errorf("%s=%s: not in %s", f.Key, f.Value, factsPage)
		}
	}
}

// TestDocsSummary wants the same of the JSON objects: the manual has the fields of the types, and what is printed is in it.
func TestDocsSummary(t *testing.T) {
	pid := strconv.Itoa(os.Getpid())
	for _, object := range []struct {
		args []string
		typ  any
	}{
		{[]string{"record", "--json", "--mode", "cpu,offcpu,wall", "--duration", "300ms", "-o", "profile.pb.gz"}, reports.Record{}},
		{[]string{"doctor", "--json"}, doctor.Report{}},
		{[]string{"doctor", "--pid", pid, "--json"}, doctor.ProcessReport{}},
		{[]string{"capture", "syscalls", "--json", "-o", filepath.Join(t.TempDir(), "true.trace"), "--", "true"}, reports.Capture{}},
	} {
		words := object.args[:slices.Index(object.args, "--json")+1]
		section := "assay " + strings.Replace(strings.Join(words, " "), pid, "PID", 1)
		documented := documentedKeys(t, summaryPage, section)
		if diff := cmp.Diff(slices.Sorted(slices.Values(typePaths(reflect.TypeOf(object.typ), ""))), sortedShapes(documented)); diff != "" {
			t.Errorf("%s, %s, - type, + manual:\n%s", summaryPage, section, diff)
		}
		for path := range valuePaths(printedJSON(t, object.args...), "") {
			if !describes(documented, path) {
				t.Errorf("%s prints %s: not in %s", section, path, summaryPage)
			}
		}
	}
}

// TestDocsExamples asks the command for help with the arguments of each example in the manual: a flag or a subcommand that doesn't exist,
// or a value that isn't of the flag's kind, is an error all the same.
func TestDocsExamples(t *testing.T) {
	tried := 0
	for _, page := range pages(t) {
		for _, line := range shellLines(t, page) {
			args, err := exampleArgs(line)
			if err != nil {
				t.Errorf("%s: %q: %v", page, line, err)
			}
			if args == nil {
				continue
			}
			tried++
			if _, stderr, err := run(t, append([]string{assayPath}, withHelp(args)...)...); err != nil {
				t.Errorf("%s: %q: %v\n%s", page, line, err, stderr)
			}
		}
	}
	if tried == 0 {
		t.Error("no examples")
	}
}

// TestDocsExampleArgs tries what examples may look like.
func TestDocsExampleArgs(t *testing.T) {
	for line, want := range map[string]string{
		"sudo assay record -d 1s   # all":  `["record" "-d" "1s"]`,
		"go run ./cmd/assay doctor":        `["doctor"]`,
		"assay doctor --json | jq .uid":    `["doctor" "--json"]`,
		"assay":                            `[]`,
		"make test":                        "no example",
		"go tool pprof assay-cpu-*.pb.gz":  "no example",
		"assay record > file":              "error",
		"assay record -- sh -c 'exit 1'":   `["record" "--" "sh" "-c" "exit 1"]`,
		"assay record -- sh -c \"exit 1\"": "error",
		`assay record \`:                   "error",
		"NO_COLOR=1 assay record":          "error",
		"./assay record":                   "error",
		"yes | assay record":               "error",
	} {
		args, err := exampleArgs(line)
		got := fmt.Sprintf("%q", args)
		switch {
		case err != nil:
			got = "error"
		case args == nil:
			got = "no example"
		}
		if got != want {
			t.Errorf("%q: %s (%v), want %s", line, got, err, want)
		}
	}
	if got, want := strings.Join(withHelp([]string{"record", "--", "ls", "--", "x"}), " "), "record --help -- ls -- x"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// documentedKeys returns the first cells of the tables' rows in a section of a page, or in all of it if section is "". In them a word in capitals
// stands for any part of a key.
func documentedKeys(t *testing.T, page, section string) []string {
	t.Helper()
	row := regexp.MustCompile("^\\| `([^`]+)` \\|")
	var keys []string
	in := section == ""
	for _, line := range pageLines(t, page) {
		if heading, ok := strings.CutPrefix(line, "## "); ok && section != "" {
			in = heading == section
		}
		if found := row.FindStringSubmatch(line); in && found != nil {
			keys = append(keys, found[1])
		}
	}
	return keys
}

// variable is what varies in a documented key.
var variable = regexp.MustCompile(`[A-Z]+`)

// sortedShapes returns keys with a * for each part that varies.
func sortedShapes(keys []string) []string {
	var shapes []string
	for _, k := range keys {
		shapes = append(shapes, variable.ReplaceAllString(k, "*"))
	}
	slices.Sort(shapes)
	return shapes
}

// describes says whether one of the documented keys is key, or stands for it.
func describes(documented []string, key string) bool {
	return slices.ContainsFunc(documented, func(k string) bool {
		pattern := variable.ReplaceAllString(regexp.QuoteMeta(k), `[a-z0-9_.]+`)
		return regexp.MustCompile("^" + pattern + "$").MatchString(key)
	})
}

// factsInSources returns the keys under which the Go files of some folders add facts, sorted, with a * for what isn't a constant.
func factsInSources(t *testing.T, folders ...string) []string {
	t.Helper()
	keys := map[string]bool{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && addsFact(call.Fun) && len(call.Args) == 2 {
					keys[keyShape(call.Args[0])] = true
				}
				return true
			})
		}
	}
	delete(keys, "*") // the body of loss: its calls are looked at instead
	return slices.Sorted(maps.Keys(keys))
}

// addsFact says whether a function takes the key and the value of a fact: a method of facts.Facts, or lossFacts' helper.
func addsFact(function ast.Expr) bool {
	switch f := function.(type) {
	case *ast.Ident:
		return f.Name == "loss"
	case *ast.SelectorExpr:
		return slices.Contains([]string{"Add", "AddInt", "AddFloat", "AddDuration"}, f.Sel.Name)
	}
	return false
}

func keyShape(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			return text
		}
	case *ast.BinaryExpr:
		return keyShape(e.X) + keyShape(e.Y)
	}
	return "*"
}

// typePaths returns the paths to the values that encoding/json makes of a type: [] for each element of a list, * for each key of a map.
func typePaths(typ reflect.Type, path string) []string {
	switch typ.Kind() {
	case reflect.Pointer:
		return typePaths(typ.Elem(), path)
	case reflect.Slice:
		return typePaths(typ.Elem(), path+"[]")
	case reflect.Map:
		return typePaths(typ.Elem(), path+".*")
	case reflect.Struct:
		var paths []string
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			paths = append(paths, typePaths(typ.Field(i).Type, strings.TrimPrefix(path+"."+name, "."))...)
		}
		return paths
	}
	return []string{path}
}

// valuePaths returns the paths to the values in what encoding/json has read.
func valuePaths(value any, path string) map[string]bool {
	paths := map[string]bool{}
	switch value := value.(type) {
	case map[string]any:
		for name, v := range value {
			maps.Copy(paths, valuePaths(v, strings.TrimPrefix(path+"."+name, ".")))
		}
	case []any:
		for _, v := range value {
			maps.Copy(paths, valuePaths(v, path+"[]"))
		}
	default:
		paths[path] = true
	}
	return paths
}

// printedJSON runs the command and reads what it prints. It may end with 1, as the doctor does where CPU time can't be recorded.
func printedJSON(t *testing.T, args ...string) any {
	t.Helper()
	stdout, stderr, err := run(t, append([]string{assayPath}, args...)...)
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("%q: %v\n%s", args, err, stderr)
	}
	var value any
	if err := json.Unmarshal([]byte(stdout), &value); err != nil {
		t.Fatalf("%q: %v\n%s%s", args, err, stdout, stderr)
	}
	return value
}

// pages returns the pages whose examples users copy.
func pages(t *testing.T) []string {
	t.Helper()
	all := []string{"../../README.md"}
	err := filepath.WalkDir("../../docs", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func pageLines(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return lines(string(text))
}

// shellLines returns the lines of the sh blocks of a page.
func shellLines(t *testing.T, page string) []string {
	t.Helper()
	var found []string
	in := false
	for _, line := range pageLines(t, page) {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			in = strings.TrimSpace(line) == "```sh"
		case in:
			found = append(found, line)
		}
	}
	return found
}

var (
	example = regexp.MustCompile(`^(?:sudo )?(?:assay|go run \./cmd/assay)(?: (.*))?$`)
	ofOurs  = regexp.MustCompile(`(?:^|[\s/])assay(?:\s|$)`) // a line that may be an example, in whatever form
	comment = regexp.MustCompile(`(?:^|\s)#.*$`)
	quoted  = regexp.MustCompile(`'[^']*'`)
	word    = regexp.MustCompile(`(?:'[^']*'|[^\s'])+`)
	syntax  = "\"'`\\$&;|<>(){}*?[]~" // of the shell: more than words and single quotes
)

// exampleArgs returns the arguments that a line gives to our command, nil if it is about another. A line that has our command in it and is
// more than its words is an error, so that no example escapes.
func exampleArgs(line string) ([]string, error) {
	line = strings.TrimSpace(comment.ReplaceAllString(line, ""))
	first, reader, _ := strings.Cut(line, " | ")
	found := example.FindStringSubmatch(first)
	switch {
	case found == nil && ofOurs.MatchString(line), ofOurs.MatchString(reader):
		return nil, errors.New("our command in a form that this test can't read")
	case found == nil:
		return nil, nil
	case strings.ContainsAny(quoted.ReplaceAllString(found[1], ""), syntax):
		return nil, errors.New("shell syntax that this test can't read")
	}
	args := []string{}
	for _, w := range word.FindAllString(found[1], -1) {
		args = append(args, strings.ReplaceAll(w, "'", ""))
	}
	return args, nil
}

// withHelp adds --help to arguments, before those of a command to record.
func withHelp(args []string) []string {
	at := slices.Index(args, "--")
	if at < 0 {
		at = len(args)
	}
	return slices.Insert(slices.Clone(args), at, "--help")
}
