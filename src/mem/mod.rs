//! Memory without its owners' language: where bytes lie, in which order, in which pieces.
//!
//! Nothing here allocates for the payload (but for one bounded staging block), does I/O or knows
//! who owns the memory.

mod copy;
mod cursor;
mod region;
mod runs;

pub use cursor::{Access, Copying, Cursor, DIRECT_RUN, IOV_MAX, MustCopy, STAGING};
pub use region::{Block, Region};
pub use runs::{Dim, LayoutError, Runs};
