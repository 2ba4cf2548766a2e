//! What threads share, in every order in which they can come to it.
//!
//! The files of the crate are compiled once more here, with loom's locks in place of the standard
//! library's (`sys::sync`) and a descriptor that loom knows in place of the kernel's. Loom runs
//! each test once for each order. A wake-up that is lost leaves everybody asleep, and two threads
//! at the same memory race: loom says so. `cfg(loom)` is not set, which would change tokio, too.
#![cfg(not(sanitized))] // Loom changes stacks by hand, and a test that has to fail leaves some behind.
#![allow(unreachable_pub, reason = "what the crate exports is not exported here")]

mod engine;
mod net;
mod sys;

/// Every order in which threads that could go on have to wait for others at most so often, where
/// all orders take minutes; None for all.
fn model_with(preemptions: Option<usize>, test: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(test);
}
