//! Every small layout, cut in every way: the bytes are those of PEP 3118's definition.

use pinwire::mem::{Access, Copying, Cursor, DIRECT_RUN, Region};
use proptest::prelude::*;

use super::kernel::{drain, fill, read};
use super::layouts::{Array, Axis, KINDS, Kind, axes, compositions};

/// Bytes up to which every composition is tried.
const FEW: usize = if cfg!(miri) { 3 } else { 8 };

fn small() -> Vec<(usize, Vec<Axis>)> {
    let flat = [axes(0, 0), axes(1, 3), axes(2, 2)].concat();
    // Miri takes a thousand times as long.
    let deep = if cfg!(miri) { Vec::new() } else { [axes(2, 3), axes(3, 2)].concat() };
    let all = [flat.clone(), deep].concat();
    // As long as a pointer, too: pointers that lie together are no items that do.
    [(1, &all), (3, &all), (size_of::<*mut u8>(), &flat)]
        .into_iter()
        .flat_map(|(itemsize, all)| all.iter().map(move |axes| (itemsize, axes.clone())))
        .collect()
}

fn cuts(total: usize) -> Vec<Vec<usize>> {
    match total {
        0 => vec![vec![1]],
        1..=FEW => compositions(total).collect(),
        _ => vec![vec![1], vec![2], vec![3, 1], vec![5], vec![total - 1, 1], vec![total]],
    }
}

fn cursor(access: Access, array: &Array, copying: Copying) -> Cursor {
    let mut cursor = Cursor::new(access);
    cursor.push(array.runs(), copying).unwrap();
    cursor
}

fn has_repeated(axes: &[Axis]) -> bool {
    axes.iter().any(|&(extent, kind)| kind == Kind::Repeated && extent > 1)
}

/// Filled in these pieces, the array has the bytes, and what is between its items is left alone;
/// then it is as it was.
fn check_filled(array: &Array, copying: Copying, pieces: &[usize]) {
    let bytes: Vec<u8> = (1..=array.addresses().len()).map(|i| i as u8).collect();
    array.clear();
    array.write(&bytes);
    let expected = array.image();
    array.clear();
    fill(&mut cursor(Access::Write, array, copying), &bytes, pieces);
    assert!(array.image() == expected);
    array.number();
}

#[test]
fn cursor_when_a_small_array_of_any_layout_is_cut_in_every_way_then_its_bytes_are_sent() {
    for (itemsize, axes) in small() {
        let array = Array::new(itemsize, &axes);
        let expected = array.bytes();
        for pieces in cuts(expected.len()) {
            // What does not lie together has runs so short that it is staged anyway.
            let ways = [Copying::Allowed, Copying::Always];
            let ways = &ways[..if array.runs().is_contiguous() { 2 } else { 1 }];
            for &copying in ways {
                let mut cursor = cursor(Access::Read, &array, copying);
                let sent = drain(&mut cursor, &pieces, usize::MAX);
                assert_eq!(sent, expected, "{itemsize} {axes:?} {pieces:?}");
            }
        }
    }
}

#[test]
fn cursor_when_a_small_array_of_any_layout_is_filled_in_every_way_then_only_it_is_written() {
    for (itemsize, axes) in small().into_iter().filter(|(_, axes)| !has_repeated(axes)) {
        let array = Array::new(itemsize, &axes);
        for pieces in cuts(array.addresses().len()) {
            check_filled(&array, Copying::Allowed, &pieces);
        }
    }
}

#[test]
fn runs_when_a_small_array_of_any_layout_is_asked_for_in_every_way_then_they_are_its_bytes() {
    for (itemsize, axes) in small() {
        let array = Array::new(itemsize, &axes);
        let expected = array.bytes();
        for pieces in cuts(expected.len()) {
            let mut runs = array.runs();
            let limits = pieces.iter().cycle();
            let given = limits
                .map_while(|&limit| runs.next_run(limit).inspect(|run| assert!(run.len <= limit)));
            let given: Vec<u8> = given.flat_map(read).collect();
            assert_eq!(given, expected, "{itemsize} {axes:?} {pieces:?}");
            assert_eq!(runs.left(), 0);
        }
    }
}

#[test]
fn runs_when_they_begin_and_end_anywhere_then_they_are_what_lies_between() {
    for (itemsize, axes) in small() {
        let array = Array::new(itemsize, &axes);
        let expected = array.bytes();
        for begin in 0..=expected.len() {
            for len in 0..=expected.len() - begin {
                let mut runs = array.runs();
                runs.skip(begin);
                runs.truncate(len);
                let mut between = vec![0; expected.len() + 1];
                let to = Region { base: between.as_mut_ptr(), len: between.len() };
                // SAFETY: it is memory of this test's alone.
                let copied = unsafe { runs.copy_out(to) };
                assert_eq!(between[..copied], expected[begin..begin + len], "{axes:?}");
            }
        }
    }
}

#[test]
fn cursor_when_runs_are_long_and_cut_in_any_halves_then_windows_name_the_array_itself() {
    const HALF: usize = DIRECT_RUN / 2;
    for axes in [axes(1, 3), axes(2, 2)].concat() {
        let array = Array::new(DIRECT_RUN, &axes);
        let expected = array.bytes();
        let halves = expected.len() / HALF;
        let few = [vec![1], vec![2, 1], vec![3], vec![7, 1]];
        let cuts = if halves > 4 { Vec::from(few) } else { compositions(halves).collect() };
        for pieces in cuts {
            let pieces: Vec<usize> = pieces.into_iter().map(|halves| halves * HALF).collect();
            let mut cursor = cursor(Access::Read, &array, Copying::Never);
            assert!(drain(&mut cursor, &pieces, 3 * HALF - 1) == expected, "{axes:?} {pieces:?}");
            assert_eq!(cursor.packed(), 0);
            if !has_repeated(&axes) {
                check_filled(&array, Copying::Never, &pieces);
            }
        }
    }
}

proptest! {
    #[test]
    fn cursor_when_arrays_are_of_any_layout_then_their_bytes_are_sent_and_come_back(
        itemsize in prop_oneof![1usize..40, Just(1024usize), Just(1500)],
        axes in prop::collection::vec((0usize..4, prop::sample::select(&KINDS[..])), 0..5),
        pieces in prop::collection::vec(1usize..3000, 1..6),
        limit in 1usize..5000,
        always in any::<bool>(),
    ) {
        let copying = if always { Copying::Always } else { Copying::Allowed };
        let array = Array::new(itemsize, &axes);
        let mut sending = cursor(Access::Read, &array, copying);
        prop_assert_eq!(drain(&mut sending, &pieces, limit), array.bytes());
        if !has_repeated(&axes) {
            check_filled(&array, copying, &pieces);
        }
    }
}
