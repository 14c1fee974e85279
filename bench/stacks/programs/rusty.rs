// SPDX-License-Identifier: Apache-2.0
//! rusty SECONDS: sorts, formats and hashes under closures, thirty calls deep.
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Is std::hint::black_box, which the compiler of Debian 12 doesn't have yet.
#[inline(always)]
fn black_box<T: Copy>(x: T) -> T {
    unsafe { std::ptr::read_volatile(&x) }
}

fn work(x: u64) -> u64 {
    let mut numbers: Vec<u64> = (0..256).map(|i| x.wrapping_mul(6364136223846793005).rotate_left(i)).collect();
    numbers.sort_by(|a, b| b.cmp(a));
    let mut seen: HashMap<u64, usize> = HashMap::new();
    for n in &numbers {
        *seen.entry(n % 64).or_default() += 1;
    }
    numbers[128] + seen.len() as u64 + format!("{:?}", &numbers[..4]).len() as u64
}

#[inline(never)]
fn descend(depth: u32, then: &dyn Fn(u64) -> u64, x: u64) -> u64 {
    if depth == 0 {
        return then(x);
    }
    black_box(descend(depth - 1, &|y| then(y + 1), x)) + 1
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut x = 1;
    while Instant::now() < end {
        x = black_box(descend(15, &work, x));
    }
}
