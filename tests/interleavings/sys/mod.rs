//! In place of `src/sys`: no system calls, and locks that loom has a hand in.

pub(crate) mod counter;
#[path = "../../../src/sys/event.rs"]
mod event;
mod event_tests;

pub(crate) use counter::{Line, newest_line};
pub(crate) use event::Event;

use std::borrow::Borrow;
use std::io;

use crate::net::Place;

pub(crate) mod sync {
    pub(crate) use std::sync::PoisonError;

    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};

    pub(crate) mod atomic {
        use loom::sync::atomic;
        pub(crate) use loom::sync::atomic::Ordering;

        #[derive(Debug)]
        pub(crate) struct AtomicBool(atomic::AtomicBool);

        impl AtomicBool {
            pub(crate) fn new(value: bool) -> AtomicBool {
                AtomicBool(atomic::AtomicBool::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> bool {
                self.0.load(order)
            }

            /// As a swap: loom would let a store beside a swap be older than it, though the swap
            /// has not read it.
            pub(crate) fn store(&self, value: bool, order: Ordering) {
                self.0.swap(value, order);
            }

            pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
                self.0.swap(value, order)
            }
        }
    }
}

pub(crate) fn forks() -> u32 {
    0
}

/// Copy one piece. Loom knows if somebody else is at the same memory.
///
/// # Safety
///
/// Nothing can go wrong: a place is no address, and keeps its memory.
#[expect(unsafe_code, reason = "called as the real one is, which takes raw memory")]
pub(crate) unsafe fn read_process<P: Borrow<Place>>(_: i32, to: P, _from: P) -> io::Result<usize> {
    to.borrow().copy();
    Ok(1)
}
