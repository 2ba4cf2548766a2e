#![allow(unsafe_code)] // Calls into libc.

use std::cell::Cell;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, OnceLock};

/// How often this process, or one it descends from, was forked since `forks` was first asked.
static FORKS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// Whether this is the main thread, and after how many forks that was found out.
    static MAIN: Cell<Option<(u32, bool)>> = const { Cell::new(None) };
}

/// A number that is another one in each forked child: a system call cheaper than getpid(2), for
/// those who ask all the time.
pub fn forks() -> u32 {
    static COUNTING: Once = Once::new();
    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    COUNTING.call_once(|| {
        // SAFETY: the handler only adds to an atomic, which is safe in any child. Out of memory,
        // the one error, it would not be called; nothing else here works then.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    FORKS.load(Ordering::Relaxed)
}

/// The effective user of this process (geteuid(2)).
pub fn effective_user() -> u32 {
    // SAFETY: it takes no arguments and cannot fail.
    unsafe { libc::geteuid() }
}

/// The number that stands for users who have none in this user namespace
/// (`/proc/sys/kernel/overflowuid`, user_namespaces(7)): two who have it need not be the same.
pub fn overflow_user() -> u32 {
    static USER: OnceLock<u32> = OnceLock::new();
    *USER.get_or_init(|| {
        let text = fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
        text.and_then(|text| text.trim().parse().ok()).unwrap_or(65534)
    })
}

/// How many descriptors this process may have (RLIMIT_NOFILE, getrlimit(2)).
pub fn descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call, which cannot fail with such arguments.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur
}

/// Whether this is the thread the process started with, to which the kernel hands signals first.
pub fn in_main_thread() -> bool {
    let forks = forks();
    match MAIN.get() {
        Some((then, is_main)) if then == forks => is_main,
        _ => {
            // SAFETY: neither call takes arguments or can fail.
            let is_main = unsafe { libc::gettid() == libc::getpid() };
            MAIN.set(Some((forks, is_main)));
            is_main
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_told_from_the_main_one_every_time() {
        // The test harness runs us in a thread of its own.
        assert!(!in_main_thread());
        assert!(!in_main_thread());
    }

    #[test]
    fn a_forked_child_counts_one_fork_more_and_is_a_main_thread() {
        let before = forks();
        let _ = in_main_thread();
        // SAFETY: the child touches atomics and a thread-local only, and ends without unwinding.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let as_it_should = forks() == before + 1 && in_main_thread();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!as_it_should)) };
        }
        let mut status = -1;
        // SAFETY: `status` outlives the call.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!((status, forks()), (0, before));
    }
}
