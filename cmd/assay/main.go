// SPDX-License-Identifier: Apache-2.0

// Command assay tells where a machine's time goes.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
