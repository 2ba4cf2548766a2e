//! Links: who is let in, what is read by them, and who has one no more. Here both ends are this
//! process, which may always be read.

use std::io;
use std::os::fd::AsFd;

use pinwire::net::{Heard, Invited, Lapse, Link, Options, Unread, Visit};
use pinwire::sys;
use pinwire::wire::{Answer, ByLink, Invitation, Offer, Order, Part, Run, Verdict, WireError};

fn join(invited: &mut Invited) -> (Link, Link) {
    let options = Options::default();
    assert!(matches!(invited.look(&options).unwrap(), Visit::Nobody));
    let follower = Link::follow(invited.invitation(), &options).unwrap();
    assert_eq!(follower.hear(), Heard::Nothing);
    let Visit::Joined(inviter) = invited.look(&options).unwrap() else { panic!("nobody came") };
    assert_eq!(follower.hear(), Heard::Welcome);
    (inviter, follower)
}

fn bytes(len: u64) -> Part {
    let (dtype, shape) = (b"|u1"[..].into(), [len].into_iter().collect());
    Part { dtype, itemsize: 1, order: Order::C, shape }
}

fn header(number: u64, parts: &[bool]) -> ByLink {
    ByLink { number, parts: parts.iter().copied().collect() }
}

#[test]
fn what_is_offered_is_read_either_way_and_answered() {
    let mut invited = Invited::new().unwrap();
    let (inviter, follower) = join(&mut invited);
    for (sender, receiver) in [(&inviter, &follower), (&follower, &inviter)] {
        assert_eq!(receiver.pid(), std::process::id() as i32);
        let parts = [bytes(5), bytes(40)];
        for number in 1..4 {
            let runs = vec![Run { address: number, len: 40 }];
            let offer = Offer { counts: [0, 1].into_iter().collect(), runs };
            assert_eq!(receiver.check(number), Err(Lapse::Withdrawn));
            assert_eq!(sender.offer(&offer), number);
            let by_link = header(number, &[false, true]);
            assert_eq!(receiver.read(&by_link, &parts), Ok(offer));
            assert_eq!(receiver.check(number), Ok(()));
            receiver.answer(number, Verdict::Progress(5));
            let mut said = [0; 24];
            let fd = sender.socket().fd().unwrap();
            assert_eq!(sys::receive_bytes(fd.as_fd(), &mut said).unwrap(), 24);
            let answer = Answer { number, verdict: Verdict::Progress(5) };
            assert_eq!(Answer::parse(&said), Some(answer));
            sender.withdraw();
            assert_eq!(receiver.check(number), Err(Lapse::Withdrawn));
        }
    }
}

#[test]
fn another_number_or_other_parts_open_nothing() {
    let mut invited = Invited::new().unwrap();
    let (sender, receiver) = join(&mut invited);
    let runs = vec![Run { address: 64, len: 40 }];
    sender.offer(&Offer { counts: [1].into_iter().collect(), runs });
    let withdrawn = Err(Unread::Lapse(Lapse::Withdrawn));
    for number in [2, u64::MAX] {
        assert_eq!(receiver.read(&header(number, &[true]), &[bytes(40)]), withdrawn);
    }
    let others = [
        (vec![bytes(41)], vec![true]),
        (vec![bytes(39)], vec![true]),
        (vec![bytes(40)], vec![false]),
        (vec![bytes(40), bytes(0)], vec![true, true]),
        (vec![], vec![]),
    ];
    for (parts, ways) in others {
        let read = receiver.read(&header(1, &ways), &parts);
        assert!(matches!(read, Err(Unread::Nonsense(WireError::Nonsense(_)))), "{read:?}");
    }
}

#[test]
fn a_board_that_is_gone_was_either_never_there_or_its_process_is_gone() {
    for was_read in [false, true] {
        let mut invited = Invited::new().unwrap();
        let (sender, receiver) = join(&mut invited);
        if was_read {
            assert_eq!(receiver.check(0), Ok(()));
        }
        drop(sender);
        let lapse = receiver.check(1).unwrap_err();
        // What has come to where it was is nobody's business.
        let gone = if was_read { Lapse::Gone } else { Lapse::Unreadable(libc::ESRCH) };
        assert!(lapse == gone || lapse == Lapse::Unreadable(libc::EFAULT), "{lapse:?}");
    }
}

#[test]
fn strangers_are_not_let_in() {
    let mut invited = Invited::new().unwrap();
    let options = Options::default();
    let wrong = Invitation { secret: [0; 32], ..*invited.invitation() };
    let strangers: Vec<_> = (0..8).map(|_| Link::follow(&wrong, &options).unwrap()).collect();
    assert!(matches!(invited.look(&options).unwrap(), Visit::Nobody));
    assert!(strangers.iter().all(|stranger| stranger.hear() == Heard::End));
    join(&mut invited);
}

#[test]
fn nobody_listens_then_there_is_no_link() {
    let invited = Invited::new().unwrap();
    let invitation = *invited.invitation();
    drop(invited);
    let error = Link::follow(&invitation, &Options::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}
