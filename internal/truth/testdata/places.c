// SPDX-License-Identifier: Apache-2.0
/*
 * places SECONDS: computes and waits in the functions of places.S, in turns. Says cpu_ns of what computes there (spin_at_start, handled, which a
 * signal calls in its midst, called_at_end, fault_at_start with its page faults in the kernel), and the span of what waits (syscall_at_end; fault_at_start for pages that another thread
 * fills in late).
 */
#include "truth.h"
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#define PAGE 4096L
#define PAGES 2048L

void syscall_at_end(const struct timespec *length);
void call_at_end(void (*f)(void));
void fault_at_start(char *page);
void spin_at_start(long turns);

static ns_t spin_cpu, call_cpu, fault_cpu;
static volatile ns_t handled_cpu;
static struct span syscall_span, fault_span;
static int faults;

NOINLINE void called_at_end(void)
{
	for (long i = turns_for(2 * MS); i > 0; i--)
		TURN();
}

NOINLINE void handled(int signal)
{
	ns_t before = cpu_ns();

	(void)signal;
	for (long i = turns_for(2 * MS); i > 0; i--)
		TURN();
	handled_cpu += cpu_ns() - before;
}

static char *pages(long n)
{
	char *memory = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || madvise(memory, n * PAGE, MADV_NOHUGEPAGE))
		die("mmap");
	return memory;
}

static void *slow_filler(void *unused)
{
	static char zeros[PAGE];
	struct uffd_msg fault;

	while (read(faults, &fault, sizeof(fault)) == sizeof(fault)) {
		struct uffdio_copy copy = { .dst = fault.arg.pagefault.address & -PAGE, .src = (long)zeros, .len = PAGE };

		nap(vary(4 * MS));
		if (ioctl(faults, UFFDIO_COPY, &copy))
			die("UFFDIO_COPY");
	}
	return unused;
}

/* Memory whose faults go to the filler. */
static char *slow_page(void)
{
	char *memory = pages(1);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .range = { (long)memory, PAGE }, .mode = UFFDIO_REGISTER_MODE_MISSING };

	faults = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (faults < 0 || ioctl(faults, UFFDIO_API, &api) || ioctl(faults, UFFDIO_REGISTER, &range))
		die("userfaultfd");
	return memory;
}

static void compute(char *memory)
{
	const struct itimerval soon = { .it_value = { 0, 500 } };
	ns_t before = cpu_ns(), between, handled_before = handled_cpu;

	if (setitimer(ITIMER_REAL, &soon, NULL))
		die("setitimer");
	spin_at_start(turns_for(8 * MS)); /* its turns are short */
	between = cpu_ns();
	spin_cpu += between - before - (handled_cpu - handled_before);
	call_at_end(called_at_end);
	before = cpu_ns();
	call_cpu += before - between;
	for (long i = 0; i < PAGES; i++)
		fault_at_start(memory + i * PAGE);
	fault_cpu += cpu_ns() - before;
	if (madvise(memory, PAGES * PAGE, MADV_DONTNEED))
		die("madvise");
}

static void wait_there(char *slow)
{
	struct timespec length = { 0, vary(4 * MS) };

	span_begin(&syscall_span);
	syscall_at_end(&length);
	span_end(&syscall_span);
	span_begin(&fault_span);
	fault_at_start(slow);
	span_end(&fault_span);
	if (madvise(slow, PAGE, MADV_DONTNEED))
		die("madvise");
}

int main(int argc, char **argv)
{
	ns_t end = begin(argc, argv);
	char *memory = pages(PAGES), *slow = slow_page();
	pthread_t thread;

	if (signal(SIGALRM, handled) == SIG_ERR)
		die("signal");
	start(&thread, slow_filler, NULL);
	while (mono_ns() < end) {
		compute(memory);
		wait_there(slow);
	}
	say("cpu_ns", "spin_at_start", spin_cpu);
	say("cpu_ns", "handled", handled_cpu);
	say("cpu_ns", "called_at_end", call_cpu);
	say("cpu_ns", "fault_at_start", fault_cpu);
	span_say(&syscall_span, "syscall_at_end");
	span_say(&fault_span, "fault_at_start");
	return 0;
}
