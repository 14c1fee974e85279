// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"strings"
)

// split splits a command at spaces. In single or double quotes spaces are part of an argument, and so is all else: a backslash, a
// dollar and the other kind of quote have no meaning.
func split(text string) ([]string, error) {
	var args []string
	var arg strings.Builder
	inArg, quote := false, rune(0)
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			arg.WriteRune(r)
		case r == '\'' || r == '"':
			inArg, quote = true, r
		case r != ' ' && r != '\t' && r != '\n':
			inArg = true
			arg.WriteRune(r)
		case inArg:
			args, inArg = append(args, arg.String()), false
			arg.Reset()
		}
	}
	if inArg {
		args = append(args, arg.String())
	}
	switch {
	case quote != 0:
		return nil, fmt.Errorf("%q: want a %c at the end of what is quoted", text, quote)
	case len(args) == 0 || args[0] == "":
		return nil, errors.New("want a program and its arguments")
	}
	return args, nil
}
