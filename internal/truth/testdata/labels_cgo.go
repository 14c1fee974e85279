// SPDX-License-Identifier: Apache-2.0

package main

/*
static void turn_in_c(long turns)
{
	volatile unsigned long wheel[8] = {0};

	for (long i = 0; i < turns; i++)
		wheel[i % 8] = wheel[(i + 1) % 8] * 6364136223846793005UL + 1442695040888963407UL;
}
*/
import "C"

func init() { turnInC = func(turns int) { C.turn_in_c(C.long(turns)) } }
