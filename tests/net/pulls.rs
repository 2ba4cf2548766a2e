//! Pieces of a pull that end in every order, each as it may.

use std::io;

use pinwire::mem::{Access, Cursor, Region};
use pinwire::net::{Call, Failure, Goal, Payload, Pull, State, Transfer};

const LEN: usize = 7;
const PIECES: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Whole,
    Short,
    Nothing,
    Fails(i32),
}

const ENDS: [End; 4] = [End::Whole, End::Short, End::Nothing, End::Fails(libc::EPERM)];

impl End {
    fn result(self, len: usize) -> io::Result<usize> {
        match self {
            End::Whole => Ok(len),
            End::Short => Ok((len - 1).max(1)),
            End::Nothing => Ok(0),
            End::Fails(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn errno(self) -> Option<i32> {
        match self {
            End::Whole => None,
            End::Short | End::Nothing => Some(libc::EFAULT),
            End::Fails(errno) => Some(errno),
        }
    }
}

fn pull(memory: &mut [u8]) -> (Transfer, Failure) {
    let to = Region { base: memory.as_mut_ptr(), len: memory.len() };
    // SAFETY: the tests keep `memory` for as long as the transfer, which nobody carries out.
    let cursor = unsafe { Cursor::over(Access::Write, to) };
    let from = vec![Region { base: std::ptr::null_mut(), len: memory.len() }];
    let failure = Failure::default();
    let payload = Payload::Peer(Pull::new(1, cursor, from, &failure));
    (Transfer::new(payload, Goal::All), failure)
}

fn orders() -> Vec<[usize; PIECES]> {
    vec![[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
}

#[test]
fn pull_when_its_pieces_end_in_any_order_then_the_first_failure_counts() {
    for order in orders() {
        for choice in 0..ENDS.len().pow(PIECES as u32) {
            let ends = [choice % 4, choice / 4 % 4, choice / 16].map(|end| ENDS[end]);
            let mut memory = [0; LEN * (PIECES + 1)];
            let (mut transfer, failure) = pull(&mut memory);
            assert!(transfer.is_divisible() && transfer.is_pull());
            let pieces: Vec<_> = (0..PIECES).map(|_| transfer.take_piece(LEN).unwrap()).collect();
            for (index, piece) in pieces.iter().enumerate() {
                assert_eq!(piece.from[0].base.addr(), index * LEN);
                assert_eq!((piece.from[0].len, piece.to[0].len, piece.len), (LEN, LEN, LEN));
            }
            for piece in order {
                transfer.copied(ends[piece].result(LEN), LEN);
            }
            let whole = ends.iter().filter(|&&end| end == End::Whole).count();
            assert_eq!(transfer.progress().transferred(), (whole * LEN) as u64);
            let first = order.into_iter().find_map(|piece| ends[piece].errno());
            assert_eq!(failure.get().map(|error| error.raw_os_error()), first.map(Some));
            assert_eq!(transfer.take_piece(LEN).is_none(), first.is_some(), "{ends:?} {order:?}");
        }
    }
}

#[test]
fn pull_when_it_goes_on_in_one_thread_then_it_ends_with_all_or_at_the_first_failure() {
    for choice in 0..ENDS.len().pow(PIECES as u32) {
        let ends = [choice % 4, choice / 4 % 4, choice / 16].map(|end| ENDS[end]);
        let mut memory = [0; LEN * PIECES];
        let (mut transfer, failure) = pull(&mut memory);
        let mut moved = 0;
        for end in ends {
            let is_over = failure.get().is_some() || moved == memory.len();
            let Some(Call::Pull { from, to, .. }) = transfer.next(LEN) else {
                assert!(is_over);
                break;
            };
            let len = from[0].len;
            assert_eq!((from[0].base.addr(), to[0].len), (moved, len));
            let state = transfer.pulled(end.result(len));
            // The kernel stops where it can read no more, which the next call says.
            moved += end.result(len).unwrap_or(0);
            let fails = matches!(end, End::Nothing | End::Fails(_));
            let expected = if fails || moved == memory.len() { State::Done } else { State::Moving };
            assert_eq!(state, expected);
            assert_eq!(failure.get().is_some(), fails);
        }
        assert_eq!(transfer.progress().transferred(), moved as u64);
    }
}
