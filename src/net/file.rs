use std::os::fd::{AsFd, OwnedFd};

use super::Call;
use crate::mem::{Block, Region, STAGING};

/// A part of a regular file, to be sent.
#[derive(Debug)]
pub struct FileRange {
    file: OwnedFd,
    offset: u64,
    left: u64,
    staging: Option<Staging>,
    packed: u64,
}

#[derive(Debug)]
struct Staging {
    block: Block,
    /// What has been read into the block and is not sent yet: a window of one region.
    unsent: [Region; 1],
}

impl FileRange {
    /// `count` bytes of `file` from `offset`.
    pub fn new(file: OwnedFd, offset: u64, count: u64) -> FileRange {
        FileRange { file, offset, left: count, staging: None, packed: 0 }
    }

    /// Bytes that are not sent yet.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Bytes that were sent from the staging block.
    pub fn packed(&self) -> u64 {
        self.packed
    }

    /// Go through a staging block instead of sendfile(2).
    pub fn stage(&mut self) {
        self.staging.get_or_insert_with(|| {
            let block = Block::new(STAGING);
            Staging { unsent: [Region { len: 0, ..block.region() }], block }
        });
    }

    /// What to ask of the kernel next.
    pub fn next(&mut self, limit: usize) -> Option<Call<'_>> {
        if self.left == 0 {
            return None;
        }
        let (file, offset) = (self.file.as_fd(), self.offset);
        let Some(staging) = &mut self.staging else {
            return Some(Call::SendFile { file, offset, count: self.left.min(limit as u64) });
        };
        Some(if staging.unsent[0].len > 0 {
            Call::Send(&staging.unsent)
        } else {
            let block = staging.block.region();
            let len = usize::try_from(self.left).map_or(block.len, |left| left.min(block.len));
            Call::ReadFile { file, into: Region { len, ..block }, offset }
        })
    }

    /// The staging block now holds the next `n` bytes.
    pub fn staged(&mut self, n: usize) {
        if let Some(staging) = &mut self.staging {
            staging.unsent = [Region { len: n, ..staging.block.region() }];
        }
    }

    /// `n` bytes were sent.
    pub fn advance(&mut self, n: u64) {
        self.offset += n;
        self.left -= n;
        if let Some(staging) = &mut self.staging {
            staging.unsent[0] = staging.unsent[0].skip(n as usize);
            self.packed += n;
        }
    }
}
