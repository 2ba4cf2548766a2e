use std::sync::Arc;

use bytes::{Buf, BufMut};
use smallvec::SmallVec;

use super::WireError;
use super::dtype::Layout;
use super::error::within;
use crate::mem::Fields;

/// Dimensions of an array: more than NumPy has (NPY_MAXDIMS).
pub const MAX_NDIM: usize = 64;

/// Dimensions of an array together with those of arrays within its items, where there are any: a
/// field is an array of all of them, and NumPy 1 has 32.
pub(super) const MAX_DEEP_NDIM: usize = 32;

/// Items of an array that has no bytes: nothing else bounds how long it takes to print one.
const MAX_EMPTY_ITEMS: u64 = 1024 * 1024;

/// Bytes of a part's description before its dtype.
const FIXED_LEN: usize = 8;

/// Bytes of a dtype's text. Ordinary ones have three; those of large structures some thousands.
const MAX_DTYPE: u64 = 16 * 1024;

/// One array of a message: what it is, not where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its dtype as text: "<f8", "bfloat16", or JSON for a structure.
    pub dtype: SmallVec<[u8; 16]>,
    /// Bytes of one item.
    pub itemsize: u32,
    /// The order in which its items travel.
    pub order: Order,
    /// Items in each dimension.
    pub shape: SmallVec<[u64; 4]>,
}

/// The order in which an array's items travel, which is that of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The last index changes fastest.
    C,
    /// The first one does, as in Fortran.
    F,
}

impl Part {
    /// Its bytes, which are all it has: no gaps. None if no memory can have it.
    pub fn nbytes(&self) -> Option<u64> {
        // As in NumPy, an extent of 0 does not excuse the others; nor do items without a byte.
        let itemsize = u64::from(self.itemsize.max(1));
        let extents = self.shape.iter().filter(|&&extent| extent > 0);
        let span = extents.copied().try_fold(itemsize, u64::checked_mul)?;
        i64::try_from(span).ok()?;
        Some(if self.itemsize == 0 || self.shape.contains(&0) { 0 } else { span })
    }

    /// Whether it is a row of plain bytes.
    pub(super) fn is_bytes(&self) -> bool {
        self.dtype[..] == *b"|u1" && self.itemsize == 1 && self.shape.len() == 1
    }

    /// Bytes of the description.
    pub(super) fn len(&self) -> usize {
        FIXED_LEN + self.dtype.len() + 8 * self.shape.len()
    }

    /// Append the description.
    ///
    /// # Panics
    /// If it is over a limit that `check` knows.
    pub fn encode(&self, to: &mut Vec<u8>) {
        to.put_u32_le(self.itemsize);
        to.put_u8(match self.order {
            Order::C => b'C',
            Order::F => b'F',
        });
        to.put_u8(u8::try_from(self.shape.len()).expect("checked"));
        to.put_u16_le(u16::try_from(self.dtype.len()).expect("checked"));
        to.put_slice(&self.dtype);
        self.shape.iter().for_each(|&extent| to.put_u64_le(extent));
    }

    /// Whether it may be sent: its words make sense, and say the same. Gives the layout of an item.
    pub fn check(&self) -> Result<Layout, WireError> {
        within("dimensions of an array", self.shape.len() as u64, MAX_NDIM as u64)?;
        within("bytes of a dtype's text", self.dtype.len() as u64, MAX_DTYPE)?;
        let layout = Layout::parse(&self.dtype)?;
        if layout.itemsize != u64::from(self.itemsize) {
            return Err(WireError::OtherSize);
        }
        if layout.ndim > 0 {
            let ndim = self.shape.len() + layout.ndim;
            let what = "dimensions of an array and of those within its items";
            within(what, ndim as u64, MAX_DEEP_NDIM as u64)?;
        }
        let too_large = WireError::Nonsense("an array larger than any memory");
        if self.nbytes().ok_or(too_large)? == 0 {
            // It cannot wrap: `nbytes` has multiplied the same numbers. Nobody goes into an extent
            // of 0.
            let items: u64 = self.shape.iter().take_while(|&&extent| extent > 0).product();
            let each = if self.shape.contains(&0) { 1 } else { layout.empties };
            within("items without a byte", items.saturating_mul(each), MAX_EMPTY_ITEMS)?;
        }
        Ok(layout)
    }

    /// Which bytes of its items are part of a value; None: all of them.
    pub fn fields(&self) -> Option<Arc<Fields>> {
        // Most types have no gaps, and need not be looked at for long.
        if !matches!(self.dtype[..], [b'{', ..] | [_, b'f' | b'c', _, _]) {
            return None;
        }
        let fields = Layout::parse(&self.dtype).ok()?.fields;
        (!fields.is_whole()).then(|| Arc::new(fields))
    }

    /// Take a description from the front of `bytes`.
    pub(super) fn parse(bytes: &mut &[u8]) -> Result<(Part, Layout), WireError> {
        let cut = || WireError::Nonsense("a description ends in the middle");
        if bytes.len() < FIXED_LEN {
            return Err(cut());
        }
        let itemsize = bytes.get_u32_le();
        let order = match bytes.get_u8() {
            b'C' => Order::C,
            b'F' => Order::F,
            _ => return Err(WireError::Nonsense("an order that is neither C nor F")),
        };
        let ndim = usize::from(bytes.get_u8());
        let dtype_len = usize::from(bytes.get_u16_le());
        within("dimensions of an array", ndim as u64, MAX_NDIM as u64)?;
        within("bytes of a dtype's text", dtype_len as u64, MAX_DTYPE)?;
        let (dtype, rest) = bytes.split_at_checked(dtype_len).ok_or_else(cut)?;
        let (mut shape, rest) = rest.split_at_checked(ndim * 8).ok_or_else(cut)?;
        *bytes = rest;
        let part = Part {
            dtype: SmallVec::from_slice(dtype),
            itemsize,
            order,
            shape: (0..ndim).map(|_| shape.get_u64_le()).collect(),
        };
        let layout = part.check()?;
        Ok((part, layout))
    }
}
