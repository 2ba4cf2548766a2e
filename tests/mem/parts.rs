//! Several arrays as one stream: what is staged beside what is not.

use pinwire::mem::{Access, Copying, Cursor, DIRECT_RUN, IOV_MAX};

use super::kernel::{drain, fill};
use super::layouts::{Array, Axis, Kind};

/// Nothing, what lies together, short runs (which are staged) and long ones.
const PARTS: [(usize, &[Axis]); 4] = [
    (1, &[(0, Kind::Packed)]),
    (1, &[(3, Kind::Packed)]),
    (1, &[(3, Kind::Gapped)]),
    (DIRECT_RUN, &[(2, Kind::Gapped)]),
];

fn cursor(access: Access, arrays: &[Array]) -> Cursor {
    let mut cursor = Cursor::new(access);
    arrays.iter().for_each(|array| cursor.push(array.runs(), Copying::Allowed).unwrap());
    cursor
}

/// Up to two cuts, each at the end of a part or a byte beside it.
fn cuts(arrays: &[Array]) -> Vec<Vec<usize>> {
    let mut end = 0;
    let mut places: Vec<usize> = Vec::new();
    for array in arrays {
        end += array.addresses().len();
        places.extend([end.saturating_sub(1), end, end + 1]);
    }
    places.retain(|&place| 0 < place && place < end);
    places.dedup();
    let mut cuts = vec![vec![end.max(1)]];
    for (index, &first) in places.iter().enumerate() {
        cuts.push(vec![first, end - first]);
        let later = places[index + 1..].iter().filter(|&&second| second > first);
        cuts.extend(later.map(|&second| vec![first, second - first, end - second]));
    }
    cuts
}

#[test]
fn cursor_when_parts_of_each_kind_follow_each_other_then_they_are_one_stream() {
    for choice in 0..PARTS.len().pow(3) {
        let parts = [choice % 4, choice / 4 % 4, choice / 16].map(|part| PARTS[part]);
        let arrays = parts.map(|(itemsize, axes)| Array::new(itemsize, axes));
        let expected: Vec<u8> = arrays.iter().flat_map(Array::bytes).collect();
        let image = || arrays.iter().flat_map(Array::image).collect::<Vec<u8>>();
        for pieces in cuts(&arrays) {
            let sent = drain(&mut cursor(Access::Read, &arrays), &pieces, usize::MAX);
            assert!(sent == expected, "{parts:?} {pieces:?}");
        }
        for pieces in cuts(&arrays) {
            arrays.iter().for_each(Array::clear);
            fill(&mut cursor(Access::Write, &arrays), &expected, &pieces);
            assert!(arrays.iter().flat_map(Array::bytes).eq(expected.iter().copied()));
        }
        // What is between the items was not written to.
        arrays.iter().for_each(Array::clear);
        let mut rest = &expected[..];
        for array in &arrays {
            let (mine, behind) = rest.split_at(array.addresses().len());
            array.write(mine);
            rest = behind;
        }
        let expected_image = image();
        arrays.iter().for_each(Array::clear);
        fill(&mut cursor(Access::Write, &arrays), &expected, &[usize::MAX]);
        assert!(image() == expected_image);
    }
}

#[test]
fn cursor_when_an_array_has_more_runs_than_a_call_takes_then_windows_end_at_the_most() {
    const ROWS: usize = IOV_MAX + 5;
    let array = Array::new(DIRECT_RUN, &[(ROWS, Kind::Gapped)]);
    // The kernel ends within the first call, at its end, or beside it.
    for rows in [1, IOV_MAX - 1, IOV_MAX] {
        for beside in [-1, 0, 1] {
            let first = rows as isize * DIRECT_RUN as isize + beside;
            let first = usize::try_from(first).unwrap().min(IOV_MAX * DIRECT_RUN);
            let mut cursor = cursor(Access::Read, std::slice::from_ref(&array));
            assert_eq!(cursor.window(usize::MAX).len(), IOV_MAX);
            cursor.advance(first);
            // What is left of a window is given again, and then a new one.
            let whole = first.is_multiple_of(DIRECT_RUN);
            let left = IOV_MAX - first / DIRECT_RUN;
            let expected = if left > 0 { left } else { ROWS - IOV_MAX };
            let window = cursor.window(usize::MAX);
            assert_eq!(window.len(), expected);
            let head = if whole { DIRECT_RUN } else { DIRECT_RUN - first % DIRECT_RUN };
            assert_eq!(window[0].len, head);
        }
    }
    assert!(
        drain(&mut cursor(Access::Read, &[array]), &[usize::MAX], usize::MAX).len()
            == ROWS * DIRECT_RUN
    );
}
