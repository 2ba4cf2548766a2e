use smallvec::SmallVec;

/// Which bytes of an item are part of a value; the others are padding, or fields of another array
/// that is in the same memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    itemsize: usize,
    spans: SmallVec<[Span; 1]>,
}

/// Up to so many spans, those of an array are listed: the same bytes of many items are copied
/// faster than all bytes of each.
const UNROLLED: usize = 64;

/// Bytes of an item that lie together, as often as an array within the item repeats them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    start: usize,
    len: usize,
    /// Slowest first.
    repeats: Vec<Repeat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Repeat {
    count: usize,
    stride: usize,
}

/// Equally spaced pieces of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pieces {
    /// Where the first one begins.
    pub(super) start: usize,
    /// Bytes from one to the next.
    pub(super) stride: usize,
    /// How many there are.
    pub(super) count: usize,
    /// Bytes of each.
    pub(super) len: usize,
}

impl Fields {
    /// An item of which each byte counts.
    pub fn whole(itemsize: usize) -> Fields {
        Fields::part(itemsize, 0, itemsize)
    }

    /// An item of which `len` bytes count, from `start` on.
    ///
    /// # Panics
    /// If it has fewer.
    pub fn part(itemsize: usize, start: usize, len: usize) -> Fields {
        assert!(start + len <= itemsize);
        let span = Span { start, len, repeats: Vec::new() };
        Fields { itemsize, spans: (len > 0).then_some(span).into_iter().collect() }
    }

    /// An array of `count` such items.
    pub fn repeated(mut self, count: usize) -> Fields {
        let itemsize = self.itemsize * count;
        if count == 0 || self.is_whole() {
            return Fields::whole(itemsize);
        }
        if count.saturating_mul(self.spans.len()) <= UNROLLED {
            let each = |i| self.spans.iter().map(move |span| span.behind(i * self.itemsize));
            return Fields { itemsize, spans: (0..count).flat_map(each).collect() };
        }
        let repeat = Repeat { count, stride: self.itemsize };
        self.spans.iter_mut().for_each(|span| span.repeats.insert(0, repeat));
        Fields { itemsize, ..self }
    }

    /// An item with these fields, each at its offset.
    ///
    /// # Panics
    /// If one lies outside of it.
    pub fn structure(itemsize: usize, fields: impl IntoIterator<Item = (usize, Fields)>) -> Fields {
        let (mut once, mut repeated) = (Vec::new(), Vec::new());
        for (offset, field) in fields {
            assert!(offset + field.itemsize <= itemsize);
            for span in &field.spans {
                let span = span.behind(offset);
                if span.repeats.is_empty() { &mut once } else { &mut repeated }.push(span);
            }
        }
        once.sort_unstable();
        let mut spans: SmallVec<[Span; 1]> = SmallVec::new();
        for span in once {
            match spans.last_mut() {
                // They touch or overlap.
                Some(last) if span.start <= last.start + last.len => {
                    last.len = last.len.max(span.start + span.len - last.start);
                }
                _ => spans.push(span),
            }
        }
        let is_whole = spans.first().is_some_and(|span| span.len == itemsize);
        if !is_whole {
            spans.extend(repeated);
        }
        Fields { itemsize, spans }
    }

    /// Bytes of an item.
    pub fn itemsize(&self) -> usize {
        self.itemsize
    }

    /// Whether each byte counts.
    pub fn is_whole(&self) -> bool {
        self.spans.iter().any(|span| span.len == self.itemsize) || self.itemsize == 0
    }

    /// The bytes that count of `len` bytes in a row of items, of which the first one is cut off
    /// before `within`. They are counted from there.
    pub(super) fn pieces(&self, within: usize, len: usize, mut piece: impl FnMut(Pieces)) {
        let within = within % self.itemsize;
        let want = (within, within + len);
        let items = Repeat { count: want.1.div_ceil(self.itemsize), stride: self.itemsize };
        for span in &self.spans {
            let mut shifted = |pieces: Pieces| {
                piece(Pieces { start: pieces.start - within, ..pieces });
            };
            span.walk(span.start, items, &span.repeats, want, &mut shifted);
        }
    }
}

impl Span {
    /// The same bytes, so much further behind.
    fn behind(&self, offset: usize) -> Span {
        Span { start: self.start + offset, ..self.clone() }
    }

    /// Its pieces between `from` and `to`, cut off there.
    fn walk(
        &self,
        start: usize,
        Repeat { count, stride }: Repeat,
        inner: &[Repeat],
        (from, to): (usize, usize),
        piece: &mut impl FnMut(Pieces),
    ) {
        // Those before end at `from` or before, and those behind begin at `to` or later.
        let first = from.saturating_sub(start) / stride;
        let end = to.saturating_sub(start).div_ceil(stride).min(count);
        if let [repeat, inner @ ..] = inner {
            for i in first..end {
                self.walk(start + i * stride, *repeat, inner, (from, to), piece);
            }
            return;
        }
        let whole = |i: usize| {
            let start = start + i * stride;
            from <= start && start + self.len <= to
        };
        let mut i = first;
        while i < end {
            let at = start + i * stride;
            if whole(i) {
                let many = ((to - at - self.len) / stride + 1).min(end - i);
                piece(Pieces { start: at, stride, count: many, len: self.len });
                i += many;
                continue;
            }
            let (from, to) = (from.max(at), to.min(at + self.len));
            if from < to {
                piece(Pieces { start: from, stride: 0, count: 1, len: to - from });
            }
            i += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which bytes of some items count.
    fn mask(fields: &Fields, within: usize, len: usize) -> Vec<bool> {
        let mut mask = vec![false; len];
        fields.pieces(within, len, |Pieces { start, stride, count, len }| {
            for i in 0..count {
                mask[start + i * stride..][..len].fill(true);
            }
        });
        mask
    }

    fn nested() -> Fields {
        let inner = Fields::structure(4, [(0, Fields::whole(1)), (2, Fields::whole(1))]);
        let middle = Fields::structure(11, [(1, inner.repeated(2)), (9, Fields::part(2, 0, 1))]);
        let listed = Fields::structure(40, [(0, middle.repeated(3)), (36, Fields::whole(3))]);
        assert_eq!(listed.spans.len(), 3 * 5 + 1);
        listed
    }

    fn repeated() -> Fields {
        let inner = Fields::structure(3, [(1, Fields::whole(1))]).repeated(70);
        let middle = Fields::structure(213, [(0, inner), (211, Fields::whole(1))]).repeated(40);
        let repeated = Fields::structure(8523, [(1, middle), (8522, Fields::whole(1))]);
        assert_eq!(repeated.spans.len(), 3);
        repeated
    }

    #[test]
    fn any_stretch_of_items_has_the_bytes_of_the_whole() {
        let fields = nested();
        let item = mask(&fields, 0, 40);
        let count = item.iter().filter(|&&counts| counts).count();
        assert_eq!(count, 3 * (2 * 2 + 1) + 3);
        let many = item.repeat(3);
        for within in 0..40 {
            for len in 0..=80 {
                assert_eq!(mask(&fields, within, len), many[within..][..len], "{within} {len}");
            }
        }
    }

    #[test]
    fn arrays_that_are_too_long_to_be_listed_have_the_bytes_of_the_whole() {
        let fields = repeated();
        let item = mask(&fields, 0, 8523);
        assert_eq!(item.iter().filter(|&&counts| counts).count(), 40 * (70 + 1) + 1);
        let many = item.repeat(3);
        for within in (0..8523).step_by(97) {
            for len in (0..17_000).step_by(991) {
                assert_eq!(mask(&fields, within, len), many[within..][..len], "{within} {len}");
            }
        }
    }

    #[test]
    fn an_item_without_gaps_is_whole() {
        let pair = Fields::structure(3, [(1, Fields::whole(2)), (0, Fields::whole(1))]);
        assert_eq!(pair, Fields::whole(3));
        assert!(pair.repeated(7).is_whole());
        let cover = [(0, Fields::part(4, 1, 2)), (0, Fields::whole(4))];
        assert!(Fields::structure(4, cover).is_whole());
        assert!(Fields::whole(0).is_whole());
        assert!(Fields::part(4, 1, 2).repeated(0).is_whole());
        assert!(!Fields::structure(4, []).is_whole());
        assert!(!nested().is_whole());
    }

    #[test]
    fn fields_that_share_bytes_count_together() {
        let shared = Fields::structure(8, [(0, Fields::part(4, 1, 2)), (2, Fields::part(4, 0, 3))]);
        assert_eq!(mask(&shared, 0, 8), [false, true, true, true, true, false, false, false]);
    }
}
