// SPDX-License-Identifier: Apache-2.0
// mangle SECONDS: computes in a method of a generic type and in a generic function of a module. Says cpu_ns of each.
use std::ops::Add;
use std::time::{Duration, Instant};

/// Is std::hint::black_box, which the compiler of Debian 12 doesn't have yet.
#[inline(always)]
fn black_box<T: Copy>(x: T) -> T {
    unsafe { std::ptr::read_volatile(&x) }
}

mod mill {
    use super::*;

    pub struct Wheel<T> {
        pub step: T,
    }

    impl<T: Copy + Add<Output = T>> Wheel<T> {
        #[inline(never)]
        pub fn spin(&self, from: T, turns: u64) -> T {
            let mut x = from;
            for _ in 0..turns {
                x = black_box(x + self.step);
            }
            x
        }
    }

    #[inline(never)]
    pub fn roll<T: Copy + Add<Output = T>>(from: T, step: T, turns: u64) -> T {
        let mut x = from;
        for _ in 0..turns {
            x = black_box(x + step);
        }
        x
    }
}

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

fn cpu_ns() -> i64 {
    const THREAD_CPUTIME: i32 = 3;
    let mut t = Timespec { seconds: 0, nanoseconds: 0 };
    assert_eq!(0, unsafe { clock_gettime(THREAD_CPUTIME, &mut t) });
    t.seconds * 1_000_000_000 + t.nanoseconds
}

fn main() {
    let seconds: f64 = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(0.0);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let wheel = mill::Wheel { step: 0.5f64 };
    let (mut spin, mut roll) = (0, 0);
    let mut turns = 1_000_003;
    while Instant::now() < end {
        turns = 500_000 + turns * 6_364_136_223 % 999_983;
        let before = cpu_ns();
        black_box(wheel.spin(0.0, turns));
        let between = cpu_ns();
        black_box(mill::roll(0.0f64, 0.25, turns));
        spin += between - before;
        roll += cpu_ns() - between;
    }
    println!("cpu_ns.spin={}\ncpu_ns.roll={}", spin, roll);
}
