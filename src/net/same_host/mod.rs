//! How two processes of one host come to know each other, and what one reads of the other.
//!
//! `invited` waits for the peer, and `link` is what joins them: a unix socket, the process at whose
//! other end the kernel names (`credentials`). `board` is what an end shows of its own memory, and
//! what the other one reads there decides what else it reads: nothing that comes by the network
//! connection does.

mod board;
mod credentials;
mod invited;
mod link;

use std::sync::OnceLock;

pub use invited::{Invited, Visit};
pub use link::{Heard, Lapse, Link, Unread};

use crate::sys;
use crate::wire::Host;

/// Where this process is; None if the system does not say.
pub fn here() -> Option<Host> {
    static BOOT: OnceLock<Option<[u8; 16]>> = OnceLock::new();
    let boot = (*BOOT.get_or_init(|| sys::boot_id().ok()))?;
    Some(Host { boot, network: sys::network_namespace().ok()? })
}
