#![allow(unsafe_code)] // Follows the pointers of a strided or indirect layout.

use std::sync::Arc;

use thiserror::Error;

use super::copy::{Strided, copy, gather, scatter};
use super::fields::Pieces;
use super::{Fields, Region};

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
    axes: Vec<Axis>,
    /// Bytes of the current run that are behind us.
    offset: usize,
    /// Bytes ahead of us.
    left: usize,
    /// Which bytes of an item count; None: all of them.
    fields: Option<Arc<Fields>>,
}

#[derive(Clone, Copy, Debug)]
struct Axis {
    dim: Dim,
    /// Where we are along it.
    index: usize,
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
        let axes = dims.into_iter().map(|dim| Axis { dim, index: 0 }).collect();
        Ok(Runs { base, run, axes, offset: 0, left, fields: None })
    }

    /// The runs of `len` contiguous bytes.
    ///
    /// # Safety
    /// As for `new`.
    pub unsafe fn contiguous(region: Region) -> Runs {
        let (base, run) = (region.base, region.len);
        Runs { base, run, axes: Vec::new(), offset: 0, left: run, fields: None }
    }

    /// The same bytes, of which only those of these fields count: where they are copied from here,
    /// the others are zeros, and where they are copied to here, the others stay as they are.
    ///
    /// # Panics
    /// If the items are of another size.
    pub fn with_fields(mut self, fields: &Arc<Fields>) -> Runs {
        if self.left > 0 && !fields.is_whole() {
            assert!(self.offset == 0 && self.run.is_multiple_of(fields.itemsize()));
            self.fields = Some(Arc::clone(fields));
        }
        self
    }

    /// Whether there are bytes that do not count.
    pub fn has_gaps(&self) -> bool {
        self.fields.is_some()
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
        self.axes.is_empty()
    }

    /// Stop after `n` more bytes.
    pub fn truncate(&mut self, n: usize) {
        self.left = self.left.min(n);
    }

    /// What is left of the current run, at most `limit` bytes of it, whether they count or not; moves
    /// behind it.
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
        self.walk(n, |_| {});
    }

    /// Copy the next bytes to `to`, as many as there are and fit; gives how many.
    ///
    /// # Safety
    /// `to` is memory that nobody else uses meanwhile and that does not overlap the array.
    pub unsafe fn copy_out(&mut self, to: Region) -> usize {
        let len = to.len.min(self.left);
        let mut to = to.base;
        let Some(fields) = self.fields.clone() else {
            self.walk(len, |Group { base, stride, count, len, .. }| {
                // SAFETY: `walk` names items of the array; `to` has room for `len` bytes in all.
                unsafe { gather(base, stride, count, len, to) };
                to = to.wrapping_add(count * len);
            });
            return len;
        };
        // SAFETY: it has room for that, and is the caller's alone.
        unsafe { to.write_bytes(0, len) };
        self.walk(len, |group| {
            group.each(&fields, |from, packed, count, len| {
                let to = Strided { base: to.wrapping_add(packed.0), stride: packed.1 };
                // SAFETY: `walk` names items of the array, and these are bytes of them; `to` has
                // room for `len` bytes in all.
                unsafe { copy(from, to, count, len) };
            });
            to = to.wrapping_add(group.count * group.len);
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
        let mut from = from.base;
        let Some(fields) = self.fields.clone() else {
            self.walk(len, |Group { base, stride, count, len, .. }| {
                // SAFETY: `walk` names items of the array; `from` has `len` bytes in all.
                unsafe { scatter(from, base, stride, count, len) };
                from = from.wrapping_add(count * len);
            });
            return;
        };
        self.walk(len, |group| {
            group.each(&fields, |to, packed, count, len| {
                let from = Strided { base: from.wrapping_add(packed.0), stride: packed.1 };
                // SAFETY: `walk` names items of the array, and these are bytes of them; `from` has
                // `len` bytes in all.
                unsafe { copy(from, to, count, len) };
            });
            from = from.wrapping_add(group.count * group.len);
        });
    }

    /// Move on by `len` bytes; `piece` is called for each equally spaced group of pieces on the way.
    fn walk(&mut self, mut len: usize, mut piece: impl FnMut(Group)) {
        while len > 0 {
            let row = match self.axes.last() {
                Some(Axis { dim, index }) if self.offset == 0 && !dim.is_indirect() => {
                    let ahead = dim.extent - index;
                    (ahead.min(len / self.run), dim.stride)
                }
                _ => (0, 0),
            };
            if let (count @ 1.., stride) = row {
                piece(Group { base: self.address(), stride, count, len: self.run, offset: 0 });
                self.left -= count * self.run;
                len -= count * self.run;
                self.step(count);
            } else {
                let part = (self.run - self.offset).min(len);
                let (base, offset) = (self.address(), self.offset);
                piece(Group { base, stride: 0, count: 1, len: part, offset });
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
        for axis in self.axes.iter_mut().rev() {
            axis.index += carry;
            if axis.index < axis.dim.extent {
                return;
            }
            axis.index = 0;
            carry = 1;
        }
    }

    fn address(&self) -> *mut u8 {
        let mut at = self.base;
        for &Axis { dim, index } in &self.axes {
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

/// Equally spaced pieces of an array, each of one run.
#[derive(Clone, Copy)]
struct Group {
    base: *mut u8,
    stride: isize,
    count: usize,
    /// Bytes of each.
    len: usize,
    /// Bytes of its run that are before the piece.
    offset: usize,
}

impl Group {
    /// What counts of it, as equally spaced pieces: where they lie, how far from the first byte of
    /// the group and from one another they are once the group is packed, how many and how long.
    fn each(&self, fields: &Fields, mut piece: impl FnMut(Strided, (usize, isize), usize, usize)) {
        fields.pieces(self.offset, self.len, |Pieces { start, stride, count, len }| {
            let base = self.base.wrapping_add(start);
            if count == 1 {
                let there = Strided { base, stride: self.stride };
                piece(there, (start, self.len as isize), self.count, len);
                return;
            }
            for run in 0..self.count {
                let base = base.wrapping_offset(run as isize * self.stride);
                let there = Strided { base, stride: stride as isize };
                piece(there, (run * self.len + start, stride as isize), count, len);
            }
        });
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
