// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/assaylab/assay/scenarios/internal/nearest"
)

// The tree of a YAML file is walked by hand: a decoder into structs says less about what is wrong, and less often where.

// Bounds of what is given to the parser, whose time grows with the square of some.
const (
	maxLines  = 2000
	maxTokens = 10000
	maxFlow   = 8 // brackets in brackets
)

// field is what a mapping has under a key.
type field struct {
	key   ast.MapKeyNode
	value ast.Node
}

// document parses text and returns the one thing in it, nil if there is none.
func (r *reader) document(text []byte) ast.Node {
	if at, problem := unreadable(text); problem != "" {
		line := bytes.Count(text[:at], []byte("\n")) + 1
		column := utf8.RuneCount(text[bytes.LastIndexByte(text[:at], '\n')+1:at]) + 1
		r.add(line, column, problem)
		return nil
	}
	file, err := parseYAML(text)
	var syntax yaml.Error
	switch {
	case errors.As(err, &syntax) && syntax.GetToken() != nil:
		at := syntax.GetToken().Position
		r.add(at.Line, at.Column, fmt.Sprintf("this is not YAML: %.200s", syntax.GetMessage()))
		return nil
	case err != nil:
		r.add(1, 1, err.Error())
		return nil
	}
	bodies := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	switch len(bodies) {
	case 0:
		r.add(1, 1, "there is nothing; want a scenario, with at least a name and a kind")
		return nil
	case 1:
		return bodies[0].Body
	}
	r.fail(bodies[1].Body, "there is another document; want one")
	return nil
}

// unreadable says what no scenario has, and at which byte.
func unreadable(text []byte) (at int, problem string) {
	if len(text) > maxFile {
		return 0, fmt.Sprintf("the file is too long; want at most %d bytes", maxFile)
	}
	if bytes.Count(text, []byte("\n")) > maxLines {
		return 0, fmt.Sprintf("the file is too long; want at most %d lines", maxLines)
	}
	for at < len(text) {
		c, size := utf8.DecodeRune(text[at:])
		switch {
		case c == utf8.RuneError && size == 1:
			return at, fmt.Sprintf("byte %#02x is not UTF-8; want text", text[at])
		case c < ' ' && c != '\n' && c != '\r' && c != '\t', c == 0x7f:
			return at, fmt.Sprintf("%q is a control character; want text", c)
		}
		at += size
	}
	return 0, ""
}

// parseYAML parses within bounds. The parser has panicked on strange input before: here is where that ends.
func parseYAML(text []byte) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			file, err = nil, errors.New("this is not YAML that can be read; want a plain mapping")
		}
	}()
	tokens := lexer.Tokenize(string(text))
	if len(tokens) > maxTokens {
		return nil, errors.New("there is too much in the file; want a scenario")
	}
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		}
		if depth > maxFlow {
			return nil, errors.New("brackets in brackets are too deep; want a plain mapping")
		}
	}
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // fields sees to those
}

// fields returns what a mapping has, by key. Keys that aren't among names, and second ones, are problems and left out. What says whose mapping it is.
func (r *reader) fields(n ast.Node, what string, names []string) map[string]field {
	mapping, ok := n.(*ast.MappingNode)
	if !ok {
		r.fail(n, "%s is %s; want a mapping of %s", what, describe(n), strings.Join(names, ", "))
		return nil
	}
	found := map[string]field{}
	for _, v := range mapping.Values {
		name, ok := text(v.Key)
		first, again := found[name]
		switch {
		case !ok:
			r.fail(v.Key, "%s as a key; want a plain word", describe(v.Key))
		case again:
			r.fail(v.Key, "%s is here already in line %d; want it once", name, position(first.key).Line)
		case !slices.Contains(names, name):
			r.fail(v.Key, "%s has no %s; %s", what, excerpt(name), nearest.Want(name, names))
		default:
			found[name] = field{v.Key, v.Value}
		}
	}
	return found
}

// listed names fields, for an error.
func listed(fields map[string]field) string {
	if len(fields) == 0 {
		return "nothing"
	}
	return strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
}

// scalar returns a value as it was written, without its quotes.
func (r *reader) scalar(f field) (string, bool) {
	got, ok := text(f.value)
	if !ok {
		r.fail(f.value, "%s is %s; want one value", f.key.String(), describe(f.value))
	}
	return got, ok
}

// text is what a scalar says. That it looks like a number to YAML has no meaning: the parameter knows what it wants.
func text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NanNode, *ast.InfinityNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func isNull(n ast.Node) bool {
	_, ok := n.(*ast.NullNode)
	return ok
}

// describe says what a node is, for an error.
func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.NullNode:
		return "empty"
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode:
		return "an anchor"
	case *ast.AliasNode:
		return "an alias"
	case *ast.TagNode:
		return "a tag"
	case *ast.MergeKeyNode:
		return "a merge"
	case ast.ScalarNode:
		return "one value"
	}
	return "something strange"
}

// position is where a node starts. A mapping's own token is the colon of its first key.
func position(n ast.Node) token.Position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return *t.Position
	}
	return token.Position{Line: 1, Column: 1}
}

func (r *reader) fail(n ast.Node, format string, args ...any) {
	at := position(n)
	r.add(at.Line, at.Column, fmt.Sprintf(format, args...))
}

func (r *reader) add(line, column int, text string) {
	r.problems = append(r.problems, &Problem{r.file, line, column, strings.Join(strings.Fields(text), " ")})
}
