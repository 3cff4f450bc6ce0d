//! Many lives on all cores, each in one thread.
#![allow(clippy::disallowed_methods, reason = "the runner uses all cores; each life is lived in one thread")]

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Does this for each of the numbers. What came of it, in their order.
///
/// # Panics
/// If it does for one of them.
pub fn on_all_cores<T: Send>(numbers: Range<u64>, each: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(numbers.start);
    let done = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if numbers.end <= number {
                return;
            }
            let came_of_it = each(number);
            done.lock().expect("nobody panics with it").insert(number, came_of_it);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    done.into_inner().expect("nobody panics with it").into_values().collect()
}
