// SPDX-License-Identifier: Apache-2.0

package symbolize

// vsyscallEntry is the distance between the calls in the vsyscall page, and vsyscalls are they: fixed by the ABI of the kernel
// (arch/x86/entry/vsyscall). The page holds no symbols, and on kernels of today no code that runs.
const vsyscallEntry = 0x400

var vsyscalls = []string{"gettimeofday", "time", "getcpu"}

func nameVsyscall(targets []*target, funcs *functions) {
	for _, t := range targets {
		for _, l := range t.locations {
			i := (l.Address - t.mapping.Start) / vsyscallEntry
			if i >= uint64(len(vsyscalls)) {
				t.unnamed(NotCovered, "", 1)
				continue
			}
			l.Line = funcs.lines([]frame{{name: vsyscalls[i], symbol: vsyscalls[i]}})
			t.count(l)
		}
	}
}
