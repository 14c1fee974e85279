// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What the kernel side and user space share. Fixed-width fields only, no
 * hidden padding: keys are hashed byte by byte.
 */
#ifndef ASSAY_TYPES_H
#define ASSAY_TYPES_H

#define MAX_FRAMES 127 /* per half; the kernel's own limit (perf_event_max_stack) */
#define COMM_LEN 16
#define NO_CPU 0xffffffffU
#define NO_SYSCALL (-1)

/* What a counter in the table of counts stands for. */
enum kind {
	KIND_CPU = 0,       /* a sample of what ran */
	KIND_BLOCKED = 1,   /* a wait whose stack is known, weight one */
	KIND_SAMPLED = 2,   /* a short wait, weighted by one over its probability */
	KIND_PREEMPTED = 3, /* runnable, but taken off the CPU */
	KIND_PREEMPTED_SAMPLED = 4,
};

/* Why a thread left the CPU, from prev_state of sched_switch. */
enum thread_state {
	STATE_RUNNABLE = 0,
	STATE_INTERRUPTIBLE = 1,
	STATE_UNINTERRUPTIBLE = 2,
	STATE_STOPPED = 3,
	STATE_IDLE = 4, /* a kernel worker without work: uninterruptible, but no load */
	STATE_DEAD = 5,
	STATE_MAX = 6,
};

/* Flags of a key. */
enum {
	KEY_NO_USER_STACK = 1, /* the thread has a user side, but its stack was not taken */
	KEY_KERNEL_THREAD = 2, /* there is no user side */
	KEY_IN_KERNEL = 4,     /* CPU sample: taken in kernel mode */
	KEY_KERNEL_ERROR = 8,  /* the walk of the kernel stack returned an error */
	KEY_LATE_STACK = 16,   /* the user stack was taken by a sweep, not when the wait began */
	KEY_USER_GONE =
		32, /* the kernel has ended the program, or not yet begun it: there is no user side */
};

/* One line of the table of counts. A stack is known by the hash of its frames. */
struct count_key {
	__u64 user_stack; /* 0: none */
	__u64 kernel_stack;
	__u64 waker_user_stack;
	__u64 waker_kernel_stack;
	__u64 labels; /* 0: none */
	__u32 tgid;
	__u32 tid;
	__u32 waker_tgid; /* 0: not known */
	__u32 waker_tid;
	__u32 cpu; /* NO_CPU unless asked for */
	__u8 comm[COMM_LEN];
	__u8 waker_comm[COMM_LEN];
	__u32 moment; /* of a sample that stops its thread, so that each has a line of its own; else 0 */
	__s32 syscall; /* NO_SYSCALL: the user PC is that of an interrupt or a fault */
	__u8 kind;
	__u8 state;
	__u16 flags;
};

struct count_value {
	__u64 count;    /* events seen */
	__u64 weight;   /* events stood for: count, scaled */
	__u64 ns;       /* blocked (or preempted) time stood for; CPU samples: 0 */
	__u64 runq_ns;  /* run-queue wait after the wake-up, stood for */
	__u64 first_ns; /* CLOCK_MONOTONIC of the first event */
};

/* Time of one thread, as accounted at context switches; nanoseconds. */
struct thread_time {
	__u64 oncpu;
	__u64 runq_woken;
	__u64 runq_preempted;
	__u64 off[STATE_MAX];    /* by thread_state; [0] and [DEAD] stay 0 */
	__u64 waits;             /* blocked intervals */
	__u64 below_min;         /* waits and preemptions shorter than min_block: no stack */
	__u64 sampled;           /* blocked ns of the waits that were open to sampling */
	__u64 queued_sampled;    /* run-queue ns after them */
	__u64 preempted_sampled; /* the same of preemptions */
	__u64 switches;
};

/* Records through the ring buffer: all rare. */
enum record_type {
	REC_STACK = 1,  /* a stack not seen before */
	REC_COUNT = 2,  /* a count for which the table had no room */
	REC_THREAD = 3, /* a thread's account */
	REC_FLUSH = 4,  /* the table of counts is half full */
	REC_PYTHON = 5, /* a stack of Python not seen before */
	REC_LABELS = 6, /* labels of a goroutine not seen before */
	REC_COPY = 7,   /* a user stack that is walked again when its code is known */
};

struct record_header {
	__u32 type;
	__u32 n; /* REC_STACK, REC_PYTHON: frames; REC_LABELS: labels; REC_COPY: bytes */
};

/* What a stack is, and how its walk ended: the low byte of stack_record.end. */
enum stack_end {
	STACK_KERNEL = 0,
	STACK_KERNEL_CUT = 1, /* MAX_FRAMES reached */
	STACK_USER_WHOLE =
		2, /* the outermost frame: so says its table, or a frame pointer or return address of 0, as the ABI has it */
	STACK_USER_CUT = 3,    /* MAX_FRAMES reached */
	STACK_USER_BROKEN = 4, /* it led nowhere */
	STACK_USER_32BIT = 5,  /* walked by the kernel: its end is not known */
};

/* Why a walk by tables had to guess, or broke: the second byte of stack_record.end. The third is the frame at fault. */
enum unwind_reason {
	UNWIND_BY_TABLE = 0,
	UNWIND_BY_FP = 1,       /* code that is known to keep frame pointers; never in a record */
	UNWIND_NO_PROCESS = 2,  /* nothing is known of the process yet: by frame pointer */
	UNWIND_PENDING = 3,     /* the table is not ready yet: by frame pointer */
	UNWIND_ANONYMOUS = 4,   /* code without a file: by frame pointer */
	UNWIND_NO_TABLE = 5,    /* the file has no table: by frame pointer */
	UNWIND_NO_ROOM = 6,     /* the table found no room: by frame pointer */
	UNWIND_NO_ROW = 7,      /* the table knows nothing of this code: by frame pointer */
	UNWIND_NO_MAPPING = 8,  /* no code there */
	UNWIND_UNSUPPORTED = 9, /* described in a way that a walk can't follow */
	UNWIND_UNREADABLE = 10, /* the stack could not be read */
	UNWIND_ASTRAY = 11,     /* the caller's frame would not lie above */
};

/* How to find the frame of a caller, as profiler/unwind packs it (type CFA there). */
enum unwind_cfa {
	CFA_NONE = 0,
	CFA_SP = 1,
	CFA_FP = 2,
	CFA_REG = 3,
	CFA_DEREF_SP = 4,
	CFA_DEREF_FP = 5,
	CFA_PLT = 6,
	CFA_SIGNAL = 7,
	CFA_END = 8,
	CFA_FRAME_POINTER = 9, /* aux: enum unwind_reason */
	CFA_UNSUPPORTED = 10,
	CFA_CLONED =
		11, /* the outermost frame in a thread that was just made, else the stack is as at the entry */
	CFA_SP_FAR = 12,
	CFA_FP_FAR = 13,
	CFA_INDEXED = 14,
	CFA_LANDING = 15,
	CFA_NO_MAPPING = 255, /* no rule of a table */
};

enum unwind_fp {
	FP_SAME = 0,
	FP_AT_CFA = 1,
	FP_AT_FP = 2,
	FP_UNDEFINED = 3,
};

enum unwind_ra {
	RA_NONE = 0,
	RA_AT_CFA = 1,
	RA_IN_LR = 2,
	RA_IN_RDI = 3,
	RA_IN_RCX = 4,
	RA_LANDING = 5,
};

#define BX_LOST 1 /* aux of CFA_SP and CFA_FP on x86-64: where RBX of the caller is, is not known */

/* Offsets in words of 8 bytes. */
union unwind_rule {
	__u64 word;
	struct {
		__u8 cfa;
		__u8 fp : 4;
		__u8 ra : 4;
		__s16 cfa_offset;
		__s16 fp_offset;
		__s16 aux;
	};
};

/*
 * Tables and mappings lie in slabs of 1 MiB, an element of unwind_slabs each. A place is the number of a slab, and
 * in the low 18 bits that of a word of 4 bytes in it. A thing lies in one slab, aligned to its size.
 */
struct unwind_process {
	__u32 maps; /* place of its mappings, by address */
	__u32 map_count;
	__u32 version; /* of the process and its mappings, never used again; 0: none */
	__u32 pad;
};

/* A file by what the kernel knows of it; all 0: the vdso. */
struct unwind_inode {
	__u64 number;
	__u64 mtime; /* ns: a file that was written over is another one */
	__u32 dev;
	__u32 pad;
};

/* The table of a file, whoever maps it. */
struct unwind_inode_table {
	__u64 shift;  /* of its code: offset in the file less vaddr */
	__u32 file;   /* place of a struct unwind_file */
	__u32 reason; /* enum unwind_reason */
};

/* Executable memory of a process. */
struct unwind_mapping {
	__u64 start;
	__u64 end;
	__u64 bias;   /* address less vaddr of the file */
	__u32 file;   /* place of a struct unwind_file */
	__u32 reason; /* enum unwind_reason; only UNWIND_BY_TABLE has a file */
};

/* The head of a file's table; rules and pages lie in the same slab. */
struct unwind_file {
	__u64 base;  /* vaddr of the first page */
	__u32 pages; /* place of an array of struct unwind_page, one for each 64 KiB */
	__u32 page_count;
	__u32 rules; /* place of an array of union unwind_rule */
	__u32 used;  /* CLOCK_MONOTONIC of the last search, in units of 2^30 ns */
	__u64 pad;
};

/* Rows are {u16 low bits of the address; u16 number of the rule}, sorted. */
struct unwind_page {
	__u32 rows; /* place */
	__u32 n;    /* 0: no code */
};

struct stack_record {
	struct record_header h;
	__u64 id;
	__u32 tgid;
	__u32 end;    /* enum stack_end | enum unwind_reason << 8 | frame at fault << 16 */
	__u64 python; /* a user stack: name of the frames of Python that it runs, or 0 */
	__u64 frames[MAX_FRAMES];
};

#define COPY_BYTES 16384 /* of a user stack, at most */
#define REGISTERS 16     /* of x86-64, as DWARF numbers them */

/* A user stack whose walk met code that user space may know soon. */
struct copy_record {
	struct record_header h;
	__u64 id; /* of its stack_record */
	__u64 at; /* CLOCK_MONOTONIC, ns */
	__u32 tgid;
	__u32 exact; /* pc is of the instruction itself, no return address */
	__u64 pc;
	__u64 sp;
	__u64 fp;
	__u64 lr;                    /* arm64 */
	__u64 registers[REGISTERS];  /* x86-64 */
	__u64 stack[COPY_BYTES / 8]; /* from sp on */
};

#define MAX_PYTHON 128 /* frames of Python */

/* How the frames of an interpreter say which are the outermost of a C frame of its loop. */
enum python_marks {
	PYTHON_EACH = 0, /* each frame is (before 3.11) */
	PYTHON_FLAG = 1, /* a byte that is not 0 (3.11) */
	PYTHON_SHIM =
		2, /* the frame behind is owned by the C stack, and is no frame of Python (3.12 and later) */
};

#define PYTHON_OWNED_BY_C 3 /* FRAME_OWNED_BY_CSTACK */

/* Where a process keeps its frames of Python. Offsets are in bytes from the start of the structure, indices in words or bytes
 * of the window: that part of a frame that is read. */
struct python_process {
	__u64 key_at; /* address of autoTSSkey: {int initialized; u32 key} */
	/* struct pthread: how far before the thread pointer, and how it leads to the value of a key */
	__u32 self;
	__u32 array;
	__u32 block;
	__u32 stride;
	__u32 value;
	/* PyThreadState, and _PyCFrame of those versions that have it */
	__u32 thread_id;
	__u32 thread_frame;
	__u32 cframe_current;
	/* a frame: the window of it, and what is where in that */
	__u32 window;
	__u32 window_bytes;
	__u8 code;
	__u8 previous;
	__u8 instr;
	__u8 mark;  /* byte */
	__u8 marks; /* enum python_marks */
	__u8 has_cframe;
	__u8 code_unit;    /* of f_lasti, bytes */
	__u8 side_by_side; /* frames of calls mostly lie next to each other */
	/* PyCodeObject: three pointers that tell it from others, and its bytecode, 0 when that lies elsewhere */
	__u32 code_identity;
	__u32 code_start;
};

/* A code object whose identity was read. */
struct python_identity {
	__u64 name; /* of process and address */
	__u64 at;   /* when, ns */
	__u64 identity;
};

#define PYTHON_BEFORE 0x7fffffffU /* offset of a frame that has not begun */
#define PYTHON_ENTRY 0x80000000U

struct python_frame {
	__u64 code; /* address of the code object */
	__u64 where; /* low 31 bits: offset in the bytecode; PYTHON_ENTRY; high 32 bits: identity of the code object */
};

enum python_end {
	PYTHON_WHOLE = 0,
	PYTHON_CUT = 1,    /* MAX_PYTHON reached */
	PYTHON_BROKEN = 2, /* a frame could not be read */
};

struct python_record {
	struct record_header h;
	__u64 id;
	__u32 tgid;
	__u32 end; /* enum python_end */
	struct python_frame frames[MAX_PYTHON];
};

#define MAX_LABELS 10             /* of a goroutine that are taken, */
#define LABEL_KEY 32              /* and so many bytes of each key */
#define LABEL_VALUE 64            /* and value */
#define GO_UNREADABLE 0xffffffffU /* no length of a text */

/* How a goroutine keeps its labels. */
enum go_labels {
	GO_LABEL_LIST = 0, /* a slice of pairs of strings (Go 1.24 and later) */
	GO_LABEL_MAP = 1,  /* a map of at most 8 */
};

/* Where the threads of a Go process keep what they run. Offsets are in bytes from the start of the structure. */
struct go_process {
	__s64 tls; /* of the g, from the thread pointer; 0: not there */
	__u32 g_m;
	__u32 g_sched;
	__u32 g_labels;
	__u32 m_curg;
	__u32 gobuf_bp;
	__u32 form; /* enum go_labels */
};

struct go_label {
	__u32 key_length; /* in the program */
	__u32 value_length;
	__u8 key[LABEL_KEY];
	__u8 value[LABEL_VALUE];
};

struct labels_record {
	struct record_header h;
	__u64 id;
	__u32 total; /* labels that the goroutine has */
	__u32 pad;
	struct go_label labels[MAX_LABELS];
};

struct count_record {
	struct record_header h;
	struct count_key key;
	struct count_value value;
};

struct thread_record {
	struct record_header h;
	__u32 tgid;
	__u32 tid;
	__u8 comm[COMM_LEN];
	__u64 begin_ns; /* scheduler clock: start of the window or of the thread */
	__u64 end_ns;   /* end of the window or of the thread */
	__u32 whole;    /* seen for the whole window */
	__u32 exited;
	struct thread_time time;
};

/* Events and losses, one line a CPU. */
struct counters {
	__u64 samples;         /* CPU samples taken */
	__u64 samples_idle;    /* of the idle task: left out */
	__u64 samples_other;   /* not of a target: left out */
	__u64 samples_outside; /* of a thread that our PID namespace can't name */
	__u64 waits_outside;   /* the same of waits, and of accounts of ended threads */
	__u64 switches;
	__u64 stacks_sent;
	__u64 ring_full_stacks; /* new stack not sent now, tried again at its next event */
	__u64 counts_in_ring;   /* table full: sent one by one */
	__u64 lost_samples;     /* table full and ring full */
	__u64 lost_waits;       /* the same of waits: as many as they stand for */
	__u64 lost_waits_ns;
	__u64 lost_threads; /* accounts of ended threads that found no room */
	__u64 lost_threads_ns;
	__u64 storage_full; /* no account for a thread: no memory, or another was just being made on this CPU */
	__u64 missed_arrivals; /* a switch to a thread that was not seen; mended from the scheduler's notes */
	__u64 missed_leaves; /* a switch from a thread that was not seen: its time is in the residual */
	__u64 python_unreadable; /* Python's own notes of a thread could not be read, or are another thread's */
	__u64 goroutines_unreadable;
	__u64 labels_unreadable; /* of a goroutine */
	__u64 copies_unsent;     /* stacks that could have been walked again */
	__u64 clock_backwards;   /* an interval that came out negative, taken as 0 */
};

/* What our own runs cost, one line a CPU and program. */
struct cost {
	__u64 runs;
	__u64 timed; /* of them timed */
	__u64 timed_ns;
	__u64 clock_ns; /* what reading the clock took in them */
	__u64 until;    /* runs until the next timed one */
};

enum cost_slot {
	COST_SAMPLE = 0,
	COST_SWITCH = 1,
	COST_WAKING = 2,
	COST_MAX = 3,
};

/* Target kinds. */
enum {
	TARGET_ALL = 0,
	TARGET_PIDS = 1,
	TARGET_COMM = 2,
	TARGET_CGROUP = 3,
};

enum phase {
	PHASE_OFF = 0,
	PHASE_ARMED = 1, /* the next context switch opens the window */
	PHASE_ON = 2,
	PHASE_CLOSING = 3, /* the next context switch closes it */
	PHASE_CLOSED = 4,
};

#endif
