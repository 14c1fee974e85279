// SPDX-License-Identifier: Apache-2.0

import java.io.File;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.List;

/** Makes the file of the second argument when all is compiled, waits at its gate (a byte of input), computes for the given seconds of CPU time
 * on one thread, about 30% in thirty and 70% in seventy, which is called back by a list, and waits for the end of its input. Says cpu_ns
 * of each. */
public class Split {
  static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
  static double wheel;

  static void turn(long nanoseconds) {
    long end = THREADS.getCurrentThreadCpuTime() + nanoseconds;
    while (THREADS.getCurrentThreadCpuTime() < end) {
      for (int i = 0; i < 20000; i++) wheel += Math.sqrt(i);
    }
  }

  static void thirty(long nanoseconds) {
    turn(nanoseconds);
  }

  static void seventy(long nanoseconds) {
    turn(nanoseconds);
  }

  public static void main(String[] args) throws Exception {
    for (int i = 0; i < 30000; i++) {
      turn(0);
      thirty(0);
      List.of(0L).forEach(Split::seventy);
    }
    new File(args[1]).createNewFile();
    System.in.read();
    long[] spent = new long[2];
    double seconds = Double.parseDouble(args[0]);
    while (spent[0] + spent[1] < 1e9 * seconds) {
      long before = THREADS.getCurrentThreadCpuTime();
      thirty(300_000);
      long between = THREADS.getCurrentThreadCpuTime();
      List.of(700_000L).forEach(Split::seventy);
      spent[0] += between - before;
      spent[1] += THREADS.getCurrentThreadCpuTime() - between;
    }
    System.out.println("cpu_ns.Split.thirty=" + spent[0]);
    System.out.println("cpu_ns.Split.seventy=" + spent[1]);
    System.in.read();
  }
}
