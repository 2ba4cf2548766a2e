//! What threads wait with: the standard library's. Tests put models in its place, to run through
//! every order in which threads can come to it (`tests/interleavings`).

pub(crate) use std::sync::atomic;
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
