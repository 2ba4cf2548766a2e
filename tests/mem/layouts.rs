//! Small arrays of every layout, and where their bytes lie by the definition of PEP 3118.

use pinwire::mem::{Block, Dim, Runs};

/// What one dimension does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its items lie side by side.
    Packed,
    /// There are bytes between them.
    Gapped,
    /// They lie from last to first.
    Reversed,
    /// They are all the same.
    Repeated,
    /// They are reached by a pointer, at its place.
    Pointed,
    /// They are reached by a pointer, three bytes behind its place.
    PointedBehind,
}

pub(crate) const KINDS: [Kind; 6] = [
    Kind::Packed,
    Kind::Gapped,
    Kind::Reversed,
    Kind::Repeated,
    Kind::Pointed,
    Kind::PointedBehind,
];

/// Items of a dimension, and what it does.
pub(crate) type Axis = (usize, Kind);

/// An array in memory of its own.
pub(crate) struct Array {
    itemsize: usize,
    dims: Vec<Dim>,
    base: *mut u8,
    /// Where the items are; the last block is that of the first item.
    items: Vec<Block>,
    pointers: Vec<Block>,
}

/// How the items behind a pointer, or all of them, lie.
#[derive(Clone, Copy)]
struct Room {
    /// Bytes.
    len: usize,
    /// Where the first item is.
    origin: usize,
}

impl Array {
    pub(crate) fn new(itemsize: usize, axes: &[Axis]) -> Array {
        let mut dims = Vec::new();
        let mut rooms = vec![Room { len: itemsize, origin: 0 }];
        for &(extent, kind) in axes.iter().rev() {
            let room = rooms.last_mut().unwrap();
            let suboffset = match kind {
                Kind::Pointed => 0,
                Kind::PointedBehind => 3,
                _ => -1,
            };
            if suboffset >= 0 {
                // The items behind the pointer begin there, whatever is before the first of them.
                room.origin += suboffset as usize;
                room.len += suboffset as usize;
                rooms.push(Room { len: size_of::<*mut u8>(), origin: 0 });
            }
            let room = rooms.last_mut().unwrap();
            let step = room.len + if kind == Kind::Gapped { 5 } else { 0 };
            let last = step * extent.saturating_sub(1);
            let stride = match kind {
                Kind::Repeated => 0,
                Kind::Reversed => -(step as isize),
                _ => step as isize,
            };
            match kind {
                Kind::Repeated => {}
                Kind::Reversed => (room.len, room.origin) = (room.len + last, room.origin + last),
                _ => room.len += last,
            }
            dims.push(Dim { extent, stride, suboffset });
        }
        dims.reverse();
        let (items, pointers) = (Vec::new(), Vec::new());
        let base = std::ptr::null_mut();
        let mut array = Array { itemsize, dims, base, items, pointers };
        array.base = array.place(0, &rooms);
        array.number();
        array
    }

    /// Make a room, and what its pointers point to; gives its first item's address.
    fn place(&mut self, from: usize, rooms: &[Room]) -> *mut u8 {
        let (&room, inner) = rooms.split_last().unwrap();
        let block = Block::new(room.len);
        let first = block.region().base.wrapping_add(room.origin);
        let pointed = self.dims[from..].iter().position(|dim| dim.suboffset >= 0);
        if let Some(at) = pointed.map(|at| from + at) {
            let mut places = vec![first];
            for dim in &self.dims[from..=at] {
                places = along(places, *dim);
            }
            let suboffset = self.dims[at].suboffset;
            for place in places {
                let item = self.place(at + 1, inner).wrapping_offset(-suboffset);
                // SAFETY: `place` is one of this block's pointers.
                unsafe { place.cast::<*mut u8>().write_unaligned(item) };
            }
            self.pointers.push(block);
        } else {
            self.items.push(block);
        }
        first
    }

    /// Give the bytes of all items other values.
    pub(crate) fn number(&self) {
        for (number, block) in self.items.iter().enumerate() {
            let bytes: Vec<u8> =
                (0..block.len()).map(|i| (number * 89 + i * 31 + 7) as u8).collect();
            super::kernel::write(block.region(), &bytes);
        }
    }

    pub(crate) fn runs(&self) -> Runs {
        // SAFETY: the layout is that of the blocks, which the tests keep as long as the runs.
        unsafe { Runs::new(self.base, self.itemsize, &self.dims) }.unwrap()
    }

    /// The address of every byte, in C order.
    pub(crate) fn addresses(&self) -> Vec<*mut u8> {
        if self.dims.iter().any(|dim| dim.extent == 0) {
            return Vec::new();
        }
        let mut places = vec![self.base];
        for &dim in &self.dims {
            places = along(places, dim);
            if dim.suboffset >= 0 {
                // SAFETY: `place` has written a pointer there.
                let follow = |place: *mut u8| unsafe { place.cast::<*mut u8>().read_unaligned() };
                let behind = |place| follow(place).wrapping_offset(dim.suboffset);
                places = places.into_iter().map(behind).collect();
            }
        }
        let bytes = |item: *mut u8| (0..self.itemsize).map(move |i| item.wrapping_add(i));
        places.into_iter().flat_map(bytes).collect()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        // SAFETY: these are bytes of the blocks.
        self.addresses().into_iter().map(|at| unsafe { at.read() }).collect()
    }

    pub(crate) fn write(&self, bytes: &[u8]) {
        for (at, &byte) in self.addresses().into_iter().zip(bytes) {
            // SAFETY: as for `bytes`.
            unsafe { at.write(byte) };
        }
    }

    /// All memory that items lie in, and what is between them.
    pub(crate) fn image(&self) -> Vec<u8> {
        self.items.iter().flat_map(|block| super::kernel::read(block.region())).collect()
    }

    /// Have all that memory anew.
    pub(crate) fn clear(&self) {
        for block in &self.items {
            super::kernel::write(block.region(), &vec![0; block.len()]);
        }
    }
}

fn along(places: Vec<*mut u8>, dim: Dim) -> Vec<*mut u8> {
    let items =
        |at: *mut u8| (0..dim.extent as isize).map(move |i| at.wrapping_offset(i * dim.stride));
    places.into_iter().flat_map(items).collect()
}

/// Each combination of dimensions, with up to so many items in each.
pub(crate) fn axes(ndim: usize, most: usize) -> Vec<Vec<Axis>> {
    let mut all = vec![Vec::new()];
    for _ in 0..ndim {
        let axis = (0..=most).flat_map(|extent| KINDS.map(|kind| (extent, kind)));
        let longer = |axes: Vec<Axis>| axis.clone().map(move |axis| [&axes[..], &[axis]].concat());
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

/// The ways to cut so many bytes into pieces.
pub(crate) fn compositions(total: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..1u32 << total.saturating_sub(1)).map(move |cuts| {
        let mut pieces = vec![0];
        for at in 0..total {
            *pieces.last_mut().unwrap() += 1;
            if at + 1 < total && cuts >> at & 1 == 1 {
                pieces.push(0);
            }
        }
        pieces
    })
}
