// SPDX-License-Identifier: Apache-2.0

package main

/*
#cgo CFLAGS: -O2 -g -fomit-frame-pointer

extern void called(int n);

static volatile int switched;

static __attribute__((noinline)) void switch_inner(int n)
{
	called(n);
	switched++;
}

void switch_outer(int n)
{
	switch_inner(n);
	switched++;
}
*/
import "C"
