//! In place of eventfd(2).

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard};

use loom::sync::Notify;
use loom::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(crate) struct Counter(Arc<Line>);

/// What a selector sees of a counter.
#[derive(Debug)]
pub(crate) struct Line {
    count: Mutex<Count>,
    /// The kernel's lock, which orders what threads did before, too.
    turn: AtomicUsize,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Count {
    now: usize,
    added: usize,
    added_in_vain: usize,
}

thread_local! {
    // Loom's threads are all on one thread of the system.
    static NEWEST: RefCell<Option<Arc<Line>>> = const { RefCell::new(None) };
}

/// The line of the counter that was made last.
pub(crate) fn newest_line() -> Arc<Line> {
    NEWEST.take().expect("a counter was made")
}

impl Counter {
    pub(super) fn new() -> io::Result<Counter> {
        let (count, turn) = (Mutex::default(), AtomicUsize::new(0));
        let line = Arc::new(Line { count, turn, changed: Notify::new() });
        NEWEST.set(Some(Arc::clone(&line)));
        Ok(Counter(line))
    }

    pub(super) fn add(&self) {
        {
            let mut count = self.0.enter();
            count.added_in_vain += usize::from(count.now > 0);
            count.added += 1;
            count.now += 1;
        }
        self.0.changed.notify();
    }

    pub(super) fn reset(&self) {
        self.0.enter().now = 0;
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        unreachable!("nobody here asks the kernel")
    }
}

impl Line {
    /// Sleep until it is readable, as a selector does.
    pub(crate) fn sleep(&self) {
        while !self.is_readable() {
            self.changed.wait();
        }
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.enter().now > 0
    }

    /// How often it was written to, and how often of that it was readable anyway.
    pub(crate) fn added(&self) -> (usize, usize) {
        let count = self.enter();
        (count.added, count.added_in_vain)
    }

    fn enter(&self) -> MutexGuard<'_, Count> {
        self.turn.fetch_add(1, Ordering::AcqRel);
        self.count.lock().unwrap()
    }
}
