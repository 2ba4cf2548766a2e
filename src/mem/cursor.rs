#![allow(unsafe_code)] // Copies between arrays and the staging block.

use smallvec::SmallVec;
use thiserror::Error;

use super::{Block, Region, Runs};

/// Pieces the kernel takes in one call (UIO_MAXIOV, readv(2)).
pub const IOV_MAX: usize = 1024;

/// Runs of at least this many bytes travel where they lie, shorter ones through staging.
///
/// Measured in docs/decisions/2026-11-21-direct-runs.md.
pub const DIRECT_RUN: usize = 1024;

/// Bytes staged at a time. Large enough that a system call costs little beside the copy, small
/// enough to stay in the second-level cache.
pub const STAGING: usize = 256 * 1024;

/// What is done to the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its bytes are sent.
    Read,
    /// It is filled with bytes that are received.
    Write,
}

/// Whether short runs, and items with gaps, may be staged: the `copy` argument of the array API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Copying {
    /// Where that is faster.
    #[default]
    Allowed,
    /// Never: refuse.
    Never,
    /// Always.
    Always,
}

/// Why an array has to be copied that was asked not to be.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum MustCopy {
    /// Its runs are short.
    #[error("its runs of {run} bytes would have to be copied")]
    Runs {
        /// Bytes in one of its runs.
        run: usize,
    },
    /// Some of its bytes belong to no value.
    #[error("its items have bytes that belong to no field, and travel as zeros")]
    Gaps,
}

/// A position in a list of arrays, seen as one stream of bytes.
///
/// `window` names the next pieces as the kernel wants them, `advance` moves on by what the kernel
/// took or gave, which may be any number of bytes up to the window's.
#[derive(Debug)]
pub struct Cursor {
    access: Access,
    /// Two: a message's header and its array.
    parts: SmallVec<[Part; 2]>,
    /// The first part that the window has not taken whole.
    part: usize,
    window: SmallVec<[Region; 2]>,
    head: usize,
    /// Whether the window's last region lies in the staging block.
    window_is_staged: bool,
    staging: Option<Block>,
    left: usize,
    packed: u64,
}

#[derive(Debug)]
struct Part {
    runs: Runs,
    staged: bool,
}

impl Cursor {
    /// An empty list.
    pub fn new(access: Access) -> Cursor {
        Cursor {
            access,
            parts: SmallVec::new(),
            part: 0,
            window: SmallVec::new(),
            head: 0,
            window_is_staged: false,
            staging: None,
            left: 0,
            packed: 0,
        }
    }

    /// A single region, which is never copied.
    ///
    /// # Safety
    /// As for `Runs::contiguous`.
    pub unsafe fn over(access: Access, region: Region) -> Cursor {
        let mut cursor = Cursor::new(access);
        // SAFETY: as the caller promises.
        let runs = unsafe { Runs::contiguous(region) };
        cursor.push(runs, Copying::Never).expect("one run is contiguous");
        cursor
    }

    /// Append an array.
    pub fn push(&mut self, runs: Runs, copying: Copying) -> Result<(), MustCopy> {
        if runs.left() == 0 {
            return Ok(());
        }
        let staged = Cursor::is_staged(&runs, copying)?;
        self.left += runs.left();
        self.parts.push(Part { runs, staged });
        Ok(())
    }

    /// Whether an array goes through the staging block; an error if it must and may not.
    pub fn is_staged(runs: &Runs, copying: Copying) -> Result<bool, MustCopy> {
        let short = runs.left() > 0 && !runs.is_contiguous() && runs.run_len() < DIRECT_RUN;
        match copying {
            Copying::Allowed => Ok(short || runs.has_gaps()),
            Copying::Never if runs.has_gaps() => Err(MustCopy::Gaps),
            Copying::Never if short => Err(MustCopy::Runs { run: runs.run_len() }),
            Copying::Never => Ok(false),
            Copying::Always => Ok(true),
        }
    }

    /// Whether nothing of it goes through the staging block.
    pub fn is_direct(&self) -> bool {
        self.parts.iter().all(|part| !part.staged)
    }

    /// Bytes ahead.
    pub fn left(&self) -> usize {
        self.left
    }

    /// What is done to the memory.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Bytes that went through staging so far.
    pub fn packed(&self) -> u64 {
        self.packed
    }

    /// The next pieces: at most IOV_MAX, none of them empty; none at all at the end.
    ///
    /// A new window has at most `limit` bytes (and a staging block); one that was not used up is
    /// given again. The pieces are valid until the next call of `window` or `advance`.
    pub fn window(&mut self, limit: usize) -> &[Region] {
        if self.head == self.window.len() {
            self.refill(limit);
        }
        &self.window[self.head..]
    }

    /// Move on by `n` bytes.
    ///
    /// # Panics
    /// If the window has fewer.
    pub fn advance(&mut self, mut n: usize) {
        self.left -= n;
        while n > 0 {
            let region = self.window[self.head];
            let len = n.min(region.len);
            if self.window_is_staged && self.head + 1 == self.window.len() {
                self.unstage(Region { base: region.base, len });
            }
            self.window[self.head] = region.skip(len);
            if len == region.len {
                self.head += 1;
            }
            n -= len;
        }
    }

    fn refill(&mut self, mut limit: usize) {
        self.window.clear();
        self.head = 0;
        self.window_is_staged = false;
        while let Some(part) = self.parts.get_mut(self.part) {
            if part.runs.left() == 0 {
                self.part += 1;
            } else if self.window.len() == IOV_MAX || limit == 0 {
                return;
            } else if part.staged {
                self.stage();
                return;
            } else if let Some(region) = part.runs.next_run(limit) {
                limit -= region.len;
                self.window.push(region);
            }
        }
    }

    /// End the window with a piece of the staging block: full to send, empty to receive.
    fn stage(&mut self) {
        let runs = &mut self.parts[self.part].runs;
        let block = self.staging.get_or_insert_with(|| Block::new(STAGING.min(self.left)));
        let mut staged = block.region();
        staged.len = staged.len.min(runs.left());
        if self.access == Access::Read {
            // SAFETY: the block is ours alone, and no array overlaps it.
            unsafe { runs.copy_out(staged) };
        }
        self.window.push(staged);
        self.window_is_staged = true;
    }

    /// Bytes have passed through the staging block.
    fn unstage(&mut self, bytes: Region) {
        self.packed += bytes.len as u64;
        if self.access == Access::Write {
            // SAFETY: the kernel has just filled these bytes of the block, which is ours alone.
            unsafe { self.parts[self.part].runs.copy_in(bytes) };
        }
    }
}
