#![allow(unsafe_code)] // Follows the pointers of a strided or indirect layout.

use thiserror::Error;

use super::Region;
use super::copy::{gather, scatter};

/// One dimension of an array: how many items, how far apart, and (PEP 3118) whether the items
/// are reached through a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dim {
    /// Items.
    pub extent: usize,
    /// Bytes from one item to the next; may be negative or 0.
    pub stride: isize,
    /// If not negative: what lies there is a pointer, and the item is this many bytes behind it.
    pub suboffset: isize,
}

impl Dim {
    /// A dimension without indirection.
    pub fn direct(extent: usize, stride: isize) -> Dim {
        Dim { extent, stride, suboffset: -1 }
    }

    fn is_indirect(self) -> bool {
        self.suboffset >= 0
    }
}

/// A layout that no memory can have.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the layout spans more bytes than an address space has")]
pub struct LayoutError;

/// The bytes of an array in C order, as runs that lie together in memory.
///
/// A position in the byte stream that `memoryview.tobytes()` would give: it moves forward, run by
/// run or through a copy, and may stop in the middle of a run.
#[derive(Clone, Debug)]
pub struct Runs {
    base: *mut u8,
    /// Bytes in one run.
    run: usize,
    /// What remains of the shape outside a run, slowest first. Most arrays have none of this, and
    /// a small value moves fast.
    dims: Vec<Dim>,
    index: Vec<usize>,
    /// Bytes of the current run that are behind us.
    offset: usize,
    /// Bytes ahead of us.
    left: usize,
}

// SAFETY: as for Region: addresses and numbers, whose memory the maker keeps alive.
unsafe impl Send for Runs {}

impl Runs {
    /// The runs of an array of items of `itemsize` bytes at `base`.
    ///
    /// # Safety
    /// Until the last use of the value (and of the regions it gave), every item the layout
    /// reaches must be memory that may be read (and, for receiving, written), and so must every
    /// pointer of an indirect dimension. Others may write to the items meanwhile: then it is
    /// undefined which values travel, and nothing else. With an extent or itemsize of 0, `base`
    /// may be anything.
    pub unsafe fn new(base: *mut u8, itemsize: usize, dims: &[Dim]) -> Result<Runs, LayoutError> {
        let items = dims.iter().try_fold(1usize, |n, dim| n.checked_mul(dim.extent));
        // An extent of 0 makes the array empty, however large the other extents are.
        let items = if dims.iter().any(|dim| dim.extent == 0) { Some(0) } else { items };
        let left = items.and_then(|n| n.checked_mul(itemsize)).ok_or(LayoutError)?;
        isize::try_from(left).map_err(|_| LayoutError)?;

        let (run, dims) = if left == 0 { (0, Vec::new()) } else { merge(itemsize, dims) };
        let index = vec![0; dims.len()];
        Ok(Runs { base, run, dims, index, offset: 0, left })
    }

    /// The runs of `len` contiguous bytes.
    ///
    /// # Safety
    /// As for `new`.
    pub unsafe fn contiguous(region: Region) -> Runs {
        Runs {
            base: region.base,
            run: region.len,
            dims: Vec::new(),
            index: Vec::new(),
            offset: 0,
            left: region.len,
        }
    }

    /// Bytes ahead.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Bytes in one run.
    pub fn run_len(&self) -> usize {
        self.run
    }

    /// Whether all of it lies together.
    pub fn is_contiguous(&self) -> bool {
        self.dims.is_empty()
    }

    /// Stop after `n` more bytes.
    pub fn truncate(&mut self, n: usize) {
        self.left = self.left.min(n);
    }

    /// What is left of the current run, at most `limit` bytes of it; moves behind it.
    pub fn next_run(&mut self, limit: usize) -> Option<Region> {
        let len = (self.run - self.offset).min(self.left).min(limit);
        if len == 0 {
            return None;
        }
        let region = Region { base: self.address(), len };
        self.advance_within_run(len);
        Some(region)
    }

    /// Move on by `n` bytes.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn skip(&mut self, n: usize) {
        assert!(n <= self.left);
        self.walk(n, |_, _, _, _| {});
    }

    /// Copy the next bytes to `to`, as many as there are and fit; gives how many.
    ///
    /// # Safety
    /// `to` is memory that nobody else uses meanwhile and that does not overlap the array.
    pub unsafe fn copy_out(&mut self, to: Region) -> usize {
        let len = to.len.min(self.left);
        let mut to = to.base;
        self.walk(len, |from, stride, count, item| {
            // SAFETY: `walk` names items of the array; `to` has room for `len` bytes in all.
            unsafe { gather(from, stride, count, item, to) };
            to = to.wrapping_add(count * item);
        });
        len
    }

    /// Copy `from` to the next bytes of the array.
    ///
    /// # Safety
    /// `from` is memory that nobody else writes to meanwhile and that does not overlap the array.
    ///
    /// # Panics
    /// If `from` is longer than what is left.
    pub unsafe fn copy_in(&mut self, from: Region) {
        assert!(from.len <= self.left);
        let len = from.len;
        let mut from = from.base.cast_const();
        self.walk(len, |to, stride, count, item| {
            // SAFETY: `walk` names items of the array; `from` has `len` bytes in all.
            unsafe { scatter(from, to, stride, count, item) };
            from = from.wrapping_add(count * item);
        });
    }

    /// Move on by `len` bytes; `piece(address, stride, count, item length)` is called for each
    /// equally spaced group of pieces on the way.
    fn walk(&mut self, mut len: usize, mut piece: impl FnMut(*mut u8, isize, usize, usize)) {
        while len > 0 {
            let row = match self.dims.last() {
                Some(dim) if self.offset == 0 && !dim.is_indirect() => {
                    let ahead = dim.extent - self.index[self.index.len() - 1];
                    (ahead.min(len / self.run), dim.stride)
                }
                _ => (0, 0),
            };
            if let (count @ 1.., stride) = row {
                piece(self.address(), stride, count, self.run);
                self.left -= count * self.run;
                len -= count * self.run;
                self.step(count);
            } else {
                let part = (self.run - self.offset).min(len);
                piece(self.address(), 0, 1, part);
                self.advance_within_run(part);
                len -= part;
            }
        }
    }

    fn advance_within_run(&mut self, len: usize) {
        self.left -= len;
        self.offset += len;
        if self.offset == self.run {
            self.offset = 0;
            self.step(1);
        }
    }

    /// Move `count` items along the last dimension, carrying into the slower ones.
    fn step(&mut self, count: usize) {
        let mut carry = count;
        for (dim, index) in self.dims.iter().zip(&mut self.index).rev() {
            *index += carry;
            if *index < dim.extent {
                return;
            }
            *index = 0;
            carry = 1;
        }
    }

    fn address(&self) -> *mut u8 {
        let mut at = self.base;
        for (dim, &index) in self.dims.iter().zip(&self.index) {
            at = at.wrapping_offset(index as isize * dim.stride);
            if dim.is_indirect() {
                // SAFETY: `new` was promised that this is a readable pointer of the exporter's,
                // and index < extent. Exporters do not align them for us.
                let item = unsafe { at.cast::<*mut u8>().read_unaligned() };
                at = item.wrapping_offset(dim.suboffset);
            }
        }
        at.wrapping_add(self.offset)
    }
}

/// Fold dimensions that lie together: into the run, and into one another.
fn merge(itemsize: usize, dims: &[Dim]) -> (usize, Vec<Dim>) {
    let mut run = itemsize;
    let mut outer = Vec::new(); // fastest first
    for &dim in dims.iter().rev() {
        if dim.extent == 1 && !dim.is_indirect() {
            continue;
        }
        match outer.last_mut() {
            None if !dim.is_indirect() && dim.stride == run as isize => run *= dim.extent,
            Some(inner) if follows(dim, *inner) => inner.extent *= dim.extent,
            _ => outer.push(dim),
        }
    }
    outer.reverse();
    (run, outer)
}

/// Whether going on along `inner` past its end is the same as a step of `dim`.
fn follows(dim: Dim, inner: Dim) -> bool {
    !dim.is_indirect()
        && !inner.is_indirect()
        && isize::try_from(inner.extent).ok().and_then(|n| n.checked_mul(inner.stride))
            == Some(dim.stride)
}
