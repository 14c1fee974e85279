// SPDX-License-Identifier: Apache-2.0

package knobs

import (
	"errors"
	"os"
	"regexp"
)

// envKind is the environment of the workload.
var envKind = kind{
	name: "env", mayBeEmpty: true,
	checkName: func(name string) (string, error) {
		if !envName.MatchString(name) {
			return "", errors.New("want the name of an environment variable, such as GOGC")
		}
		return name, nil
	},
	checkValue: func(_, value string) (string, error) { return value, nil },
	read:       func(_ place, name string) (string, error) { return os.Getenv(name), nil },
	launch:     func(name, value string) (Launch, error) { return Launch{Env: []string{name + "=" + value}}, nil },
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
