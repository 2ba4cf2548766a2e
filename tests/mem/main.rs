//! Runs and cursors against a plain definition of C order, for every layout and every split.
#![allow(unsafe_code)]

mod every;
mod kernel;
mod layouts;
mod parts;

use std::collections::HashSet;

use kernel::{drain, fill, read};
use pinwire::mem::{
    Access, Copying, Cursor, Dim, IOV_MAX, LayoutError, MustCopy, Region, Runs, STAGING,
};
use proptest::prelude::*;

/// An array in memory of our own: the offset of each of its items, in C order.
#[derive(Clone, Debug)]
struct Array {
    memory: Vec<u8>,
    origin: usize,
    itemsize: usize,
    dims: Vec<Dim>,
}

impl Array {
    fn runs(&mut self) -> Runs {
        let base = self.memory.as_mut_ptr().wrapping_add(self.origin);
        // SAFETY: `layout` makes arrays that lie within `memory`, which outlives the runs.
        unsafe { Runs::new(base, self.itemsize, &self.dims) }.unwrap()
    }

    fn offsets(&self) -> Vec<usize> {
        let mut offsets = vec![self.origin as isize];
        for dim in &self.dims {
            let step = |at: isize| (0..dim.extent as isize).map(move |i| at + i * dim.stride);
            offsets = offsets.into_iter().flat_map(step).collect();
        }
        let item = |at: isize| (0..self.itemsize).map(move |i| at as usize + i);
        offsets.into_iter().flat_map(item).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        self.offsets().into_iter().map(|at| self.memory[at]).collect()
    }
}

/// Arrays with padding, steps, reversed and permuted dimensions.
fn layout() -> impl Strategy<Value = Array> {
    let dim = (0usize..5, 1usize..4, any::<bool>(), 0u32..1000);
    (1usize..20, prop::collection::vec(dim, 0..5), 0usize..8).prop_map(
        |(itemsize, spec, origin)| {
            let mut order: Vec<usize> = (0..spec.len()).collect();
            order.sort_by_key(|&i| spec[i].3);
            let mut dims = vec![Dim::direct(0, 0); spec.len()];
            let (mut room, mut origin) = (itemsize, origin);
            for i in order {
                let (extent, step, reversed, _) = spec[i];
                let stride = room * step;
                if reversed {
                    origin += stride * extent.saturating_sub(1);
                }
                let sign = if reversed { -1 } else { 1 };
                dims[i] = Dim::direct(extent, stride as isize * sign);
                room = stride * extent.max(1);
            }
            let memory = (0..origin + room + 8).map(|i| (i * 31 + i / 7) as u8).collect();
            Array { memory, origin, itemsize, dims }
        },
    )
}

proptest! {
    #[test]
    fn runs_go_through_an_array_in_c_order(mut array in layout(), limit in 1usize..64) {
        let expected = array.bytes();
        let mut runs = array.runs();
        prop_assert_eq!(runs.left(), expected.len());
        let mut got = Vec::new();
        while let Some(region) = runs.next_run(limit) {
            got.extend(read(region));
        }
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn copies_out_and_in_are_the_same_bytes(mut array in layout(), split in 1usize..50) {
        let expected = array.bytes();
        let mut runs = array.runs();
        let mut got = Vec::new();
        while runs.left() > 0 {
            let mut block = vec![0; split];
            // SAFETY: the block is ours alone.
            let n = unsafe { runs.copy_out(Region { base: block.as_mut_ptr(), len: split }) };
            got.extend_from_slice(&block[..n]);
        }
        prop_assert_eq!(&got, &expected);

        let offsets: HashSet<usize> = array.offsets().into_iter().collect();
        let mut other = Array { memory: vec![0; array.memory.len()], ..array };
        let mut runs = other.runs();
        for piece in got.chunks_mut(split) {
            // SAFETY: as above.
            unsafe { runs.copy_in(Region { base: piece.as_mut_ptr(), len: piece.len() }) };
        }
        prop_assert_eq!(other.bytes(), expected);
        let untouched = (0..other.memory.len()).filter(|at| !offsets.contains(at));
        prop_assert!(untouched.into_iter().all(|at| other.memory[at] == 0));
    }

    #[test]
    fn a_cursor_gives_all_bytes_whatever_the_kernel_takes(
        mut arrays in prop::collection::vec(layout(), 0..4),
        splits in prop::collection::vec(1usize..300, 1..6),
        limit in 1usize..500,
        always in any::<bool>(),
    ) {
        let copying = if always { Copying::Always } else { Copying::Allowed };
        let expected: Vec<u8> = arrays.iter().flat_map(Array::bytes).collect();
        let mut cursor = Cursor::new(Access::Read);
        for array in &mut arrays {
            cursor.push(array.runs(), copying).unwrap();
        }
        prop_assert_eq!(drain(&mut cursor, &splits, limit), expected);
    }

    #[test]
    fn a_cursor_takes_all_bytes_however_they_come(
        mut arrays in prop::collection::vec(layout(), 0..4),
        splits in prop::collection::vec(1usize..300, 1..6),
        always in any::<bool>(),
    ) {
        let copying = if always { Copying::Always } else { Copying::Allowed };
        let expected: Vec<u8> = arrays.iter().flat_map(Array::bytes).collect();
        let mut cursor = Cursor::new(Access::Write);
        for array in &mut arrays {
            array.memory.fill(0);
            cursor.push(array.runs(), copying).unwrap();
        }
        fill(&mut cursor, &expected, &splits);
        let got: Vec<u8> = arrays.iter().flat_map(Array::bytes).collect();
        prop_assert_eq!(got, expected);
    }
}

#[test]
fn a_window_is_at_most_iov_max_long() {
    let mut memory = vec![7u8; 2 * IOV_MAX + 3];
    let mut cursor = Cursor::new(Access::Read);
    for byte in &mut memory {
        // SAFETY: one byte of `memory`, which outlives the cursor.
        let runs = unsafe { Runs::contiguous(Region { base: byte, len: 1 }) };
        cursor.push(runs, Copying::Allowed).unwrap();
    }
    let mut windows = Vec::new();
    while cursor.left() > 0 {
        let len = cursor.window(usize::MAX).len();
        windows.push(len);
        cursor.advance(len);
    }
    assert_eq!(windows, [IOV_MAX, IOV_MAX, 3]);
}

#[test]
fn staging_is_bounded() {
    let mut memory = vec![3u8; 4 * STAGING];
    let base = memory.as_mut_ptr();
    // SAFETY: every second byte of `memory`.
    let runs = unsafe { Runs::new(base, 1, &[Dim::direct(2 * STAGING, 2)]) }.unwrap();
    let mut cursor = Cursor::new(Access::Read);
    cursor.push(runs, Copying::Allowed).unwrap();
    assert_eq!(cursor.window(usize::MAX).iter().map(|region| region.len).sum::<usize>(), STAGING);
    assert_eq!(drain(&mut cursor, &[STAGING], usize::MAX), vec![3; 2 * STAGING]);
    assert_eq!(cursor.packed(), 2 * STAGING as u64);
}

#[test]
fn copying_is_refused_when_asked() {
    let mut memory = [0u8; 8];
    // SAFETY: every second byte of `memory`.
    let runs = unsafe { Runs::new(memory.as_mut_ptr(), 1, &[Dim::direct(4, 2)]) }.unwrap();
    let mut cursor = Cursor::new(Access::Read);
    assert_eq!(cursor.push(runs, Copying::Never), Err(MustCopy::Runs { run: 1 }));
    assert_eq!(cursor.left(), 0);
}

#[test]
fn pointers_of_an_indirect_dimension_are_followed() {
    let mut rows = [[1u8, 2, 3], [4, 5, 6]];
    let mut pointers = rows.each_mut().map(|row| row.as_mut_ptr());
    let dims = [Dim { extent: 2, stride: 8, suboffset: 1 }, Dim::direct(2, 1)];
    // SAFETY: two pointers, each to a row of three bytes, of which the last two are reached.
    let mut runs = unsafe { Runs::new(pointers.as_mut_ptr().cast(), 1, &dims) }.unwrap();
    let first = read(runs.next_run(usize::MAX).unwrap());
    let second = read(runs.next_run(usize::MAX).unwrap());
    assert_eq!((first, second, runs.left()), (vec![2, 3], vec![5, 6], 0));
}

#[test]
fn impossible_layouts_are_refused() {
    let huge = Dim::direct(usize::MAX / 2, 1);
    // SAFETY: nothing is reached: the call fails, or there is no item.
    unsafe {
        assert_eq!(Runs::new(std::ptr::null_mut(), 8, &[huge]).unwrap_err(), LayoutError);
        let empty = Runs::new(std::ptr::null_mut(), 8, &[huge, Dim::direct(0, 1), huge]);
        assert_eq!(empty.unwrap().left(), 0);
    }
}
