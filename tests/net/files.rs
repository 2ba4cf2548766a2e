//! Transfers of files, by sendfile(2) and through the staging block, with every answer.

use std::fs::File;

use pinwire::net::{Call, FileRange, Goal, Payload, State, Transfer};

const FIRST: u64 = 100;

/// What the kernel sends, of what it was offered; staged at most `read` bytes at a time from this
/// call on.
fn sent(total: usize, pieces: &[usize], stage_at: usize, read: usize, limit: usize) {
    let file = File::open("/dev/null").unwrap().into();
    let range = FileRange::new(file, FIRST, total as u64);
    let mut transfer = Transfer::new(Payload::File(range), Goal::All);
    let (mut moved, mut unsent) = (0, 0);
    for call in 0.. {
        if call == stage_at {
            transfer.stage_file();
        }
        let offered = match transfer.next(limit) {
            None => break,
            Some(Call::SendFile { offset, count, .. }) => {
                assert!(call < stage_at && offset == FIRST + moved as u64);
                assert_eq!(count, (total - moved).min(limit) as u64);
                count as usize
            }
            Some(Call::ReadFile { into, offset, .. }) => {
                assert!(call >= stage_at && unsent == 0 && offset == FIRST + moved as u64);
                assert_eq!(into.len, total - moved);
                unsent = read.min(into.len);
                transfer.staged(unsent);
                continue;
            }
            Some(Call::Send(window)) => {
                assert_eq!((window.len(), window[0].len), (1, unsent));
                unsent
            }
            other => panic!("{other:?}"),
        };
        let n = pieces[call % pieces.len()].min(offered);
        let state = transfer.moved(n);
        moved += n;
        unsent = unsent.saturating_sub(n);
        let expected = if moved == total { State::Done } else { State::Moving };
        assert_eq!(state, expected);
        assert_eq!(transfer.progress().transferred(), moved as u64);
    }
    assert_eq!(moved, total);
}

#[test]
fn file_when_the_kernel_takes_any_pieces_and_it_is_staged_anywhere_then_each_byte_goes_once() {
    for total in 0..=5 {
        for pieces in [&[1][..], &[2], &[1, 3], &[3, 1], &[5]] {
            for stage_at in 0..=6 {
                for read in 1..=5 {
                    for limit in [1, 2, usize::MAX] {
                        sent(total, pieces, stage_at, read, limit);
                    }
                }
            }
        }
    }
}

#[test]
fn file_when_it_is_shorter_than_it_was_then_the_transfer_is_done_with_less() {
    for staged in [false, true] {
        let file = File::open("/dev/null").unwrap().into();
        let mut transfer = Transfer::new(Payload::File(FileRange::new(file, 0, 9)), Goal::All);
        if staged {
            transfer.stage_file();
        }
        assert!(transfer.next(usize::MAX).is_some());
        assert_eq!(transfer.ended().unwrap(), State::Done);
        assert!(transfer.next(usize::MAX).is_none());
        assert_eq!(transfer.progress().left(), 9);
    }
}
