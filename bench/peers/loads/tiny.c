// SPDX-License-Identifier: Apache-2.0
// tiny: ends at once.
int main(void) { return 0; }
