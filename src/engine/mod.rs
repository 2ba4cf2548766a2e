//! Calls the kernel for what `net` decides, and waits for it.
//!
//! `attempt` never waits: both faces begin with it. `blocking` sleeps in ppoll(2). `runtime` is
//! the one tokio runtime; on it `bulk` moves what is large and tells by a `bell`, `pull` copies from
//! other processes, and `control` looks up names and connects.

mod attempt;
mod bell;
mod blocking;
mod bulk;
mod control;
mod pull;
mod runtime;

pub use attempt::{attempt, count_inline, spin};
pub use bell::Bell;
pub use blocking::{CALL, Interrupt, accept, connect, park, transfer};
pub use bulk::{BULK_STATS, BulkStats, Flight, Landing, Outcome, bulk_threshold, fly};
pub use control::{LookupError, connect_on_runtime, resolve};
pub use pull::pull;
pub use runtime::{may_have_workers, runtime, shut_down, workers};
