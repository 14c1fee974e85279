// SPDX-License-Identifier: Apache-2.0
/*
 * calls: makes a known series of system calls in the current folder, by three threads, one of which is killed in pause, and a child. Says how
 * many of some it made (calls.NAME), and which arguments and results a recording must have.
 */
#include "truth.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

static long made(long result, const char *what)
{
	if (result < 0)
		die(what);
	return result;
}

static void many(long n)
{
	while (n-- > 0)
		sys4(SYS_getppid, 0, 0, 0, 0);
}

static void *worker(void *unused)
{
	many(500);
	return unused;
}

static void *sleeper(void *unused)
{
	pause();
	return unused;
}

static void on_signal(int number) { (void)number; }

static void files(void)
{
	struct iovec three[3] = { { "aaaaaaaaaa", 10 }, { "bbbbbbbbbbbbbbbbbbbb", 20 }, { "cccccccccccccccccccccccccccccc", 30 } };
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 7, .l_len = 11 };
	char buffer[100] = "late";
	int fd = made(openat(AT_FDCWD, "file", O_CREAT | O_RDWR, 0600), "openat");

	for (int i = 0; i < 3; i++)
		made(write(fd, buffer, sizeof(buffer)), "write");
	made(writev(fd, three, 3), "writev");
	made(pread(fd, buffer, 50, 0), "pread");
	made(fcntl(fd, F_SETLK, &lock), "fcntl");
	/* The kernel side can't read this path before the call has: its page was never touched. */
	char *late = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	if (late == MAP_FAILED)
		die("mmap");
	sys4(SYS_openat, AT_FDCWD, (long)late, O_RDONLY, 0);
	made(close(fd), "close");
	made(openat(AT_FDCWD, "file", O_RDONLY), "openat");
	made(mkdirat(AT_FDCWD, "folder", 0700), "mkdirat");
	made(renameat(AT_FDCWD, "file", AT_FDCWD, "folder/renamed"), "renameat");
	made(openat(AT_FDCWD, "folder", O_DIRECTORY), "openat");
	made(openat(AT_FDCWD, "/dev/null", O_WRONLY), "openat");
}

static void long_paths(void)
{
	char path[301];

	memset(path, 'x', 300);
	path[300] = 0;
	sys4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY, 0);
	sys4(SYS_openat, AT_FDCWD, 8, O_RDONLY, 0);
}

static void sockets(void)
{
	struct sockaddr_in discard = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct iovec two[2] = { { "hello", 5 }, { "goodbye", 7 } };
	struct msghdr message = { .msg_iov = two, .msg_iovlen = 2 };
	int pair[2], one = 1, fd;
	char buffer[64];

	made(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
	say("fd", "socketpair", (long long)pair[1] << 32 | pair[0]);
	made(sendmsg(pair[0], &message, 0), "sendmsg");
	made(read(pair[1], buffer, sizeof(buffer)), "read");
	fd = made(socket(AF_INET, SOCK_DGRAM, 0), "socket");
	made(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one)), "setsockopt");
	made(ioctl(fd, FIONBIO, &one), "ioctl");
	made(connect(fd, (void *)&discard, sizeof(discard)), "connect");
}

static void events(void)
{
	int ends[2], event = made(eventfd(0, 0), "eventfd"), epoll = made(epoll_create1(0), "epoll_create1");
	struct epoll_event want = { .events = EPOLLIN };
	struct epoll_event got[4];
	struct pollfd entry = { .fd = event, .events = POLLIN };

	made(pipe2(ends, O_NONBLOCK), "pipe2");
	say("fd", "pipe2", (long long)ends[1] << 32 | ends[0]);
	made(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &want), "epoll_ctl");
	made(epoll_wait(epoll, got, 4, 0), "epoll_wait");
	made(poll(&entry, 1, 0), "poll");
	say("poll", "event", (long long)POLLIN << 32 | event);
	made(timerfd_create(CLOCK_MONOTONIC, 0), "timerfd_create");
	sys4(SYS_read, ends[0], (long)got, 1, 0);
	made(write(ends[1], "x", 1), "write");
}

static void threads(void)
{
	pthread_t thread;
	void *unused;

	for (int i = 0; i < 2; i++)
		if (pthread_create(&thread, NULL, worker, NULL) || pthread_join(thread, &unused))
			die("thread");
	if (pthread_create(&thread, NULL, sleeper, NULL))
		die("thread");
	usleep(20000);
}

static void child(void)
{
	int status;
	pid_t pid = made(sys4(SYS_fork, 0, 0, 0, 0), "fork");

	if (!pid) {
		many(200);
		sys4(SYS_exit_group, 3, 0, 0, 0);
	}
	made(wait4(pid, &status, 0, NULL), "wait4");
	say("pid", "child", pid);
	say("status", "child", WEXITSTATUS(status));
}

int main(void)
{
	/* What was inherited would make other numbers of what is opened. */
	made(close_range(3, ~0U, 0), "close_range");
	signal(SIGUSR1, on_signal);
	many(1000);
	files();
	long_paths();
	sockets();
	events();
	child();
	threads();
	sys4(SYS_kill, getpid(), SIGUSR1, 0, 0);
	say("calls", "getppid", 1000 + 200 + 2 * 500);
	return 0;
}
