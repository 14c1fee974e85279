// SPDX-License-Identifier: Apache-2.0

// Computes for the given seconds on one thread, about 30% in thirty and 70% in seventy, which is called back by an array's method.
// Says cpu_ns of each: the process' CPU time meanwhile.
function turn(end) {
  let wheel = 0;
  while (performance.now() < end) {
    for (let i = 0; i < 20000; i++) wheel += Math.sqrt(i);
  }
  return wheel;
}

function thirty(milliseconds) {
  return turn(performance.now() + milliseconds);
}

class Share {
  seventy(milliseconds) {
    return [milliseconds].map((ms) => turn(performance.now() + ms));
  }
}

const cpu = { thirty: 0, seventy: 0 };

function measure(name, work) {
  const before = process.cpuUsage();
  work();
  const used = process.cpuUsage(before);
  cpu[name] += used.user + used.system;
}

const end = performance.now() + 1000 * Number(process.argv[2]);
while (performance.now() < end) {
  measure("thirty", () => thirty(3));
  measure("seventy", () => new Share().seventy(7));
}
for (const [name, microseconds] of Object.entries(cpu)) console.log(`cpu_ns.${name}=${microseconds * 1000}`);
