//! How long the awaits of one thread may go on without letting its event loop run.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Operations that may complete in a row without a turn of the loop.
const OPERATIONS: u32 = 64;

/// The time they may take together. With these two, a turn of the loop now and then costs nothing
/// measurable, and timers and other tasks run on time (DESIGN, section 3).
const TIME: Duration = Duration::from_micros(100);

/// Small operations from one look at the clock to the next: each costs 40 ns, a small operation
/// two microseconds.
const LOOK: u32 = 4;

/// Bytes from which on an operation is not small: its system call takes 10 microseconds and more.
const LARGE: u64 = 64 * 1024;

thread_local! {
    static SPENT: Cell<(u32, Option<Instant>)> = const { Cell::new((0, None)) };
}

/// Note one operation; whether the loop has to have its turn first.
pub(super) fn spend() -> bool {
    let (operations, since) = SPENT.get();
    let since = since.unwrap_or_else(Instant::now);
    SPENT.set((operations + 1, Some(since)));
    operations >= OPERATIONS || (operations > 0 && since.elapsed() >= TIME)
}

/// Note an operation of so many bytes; whether the loop has to have its turn first.
pub(super) fn spend_on(nbytes: u64) -> bool {
    let (operations, since) = SPENT.get();
    if nbytes >= LARGE || operations % LOOK == 0 {
        return spend();
    }
    SPENT.set((operations + 1, since));
    false
}

/// The loop has its turn.
pub(super) fn renew() {
    SPENT.set((0, None));
}
