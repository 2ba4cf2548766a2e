//! The race of RFC 8305 with addresses that answer, refuse and stay silent, in every order, and a
//! clock of the test's.

use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pinwire::net::{Address, Options, Race, Step};
use socket2::{Domain, SockAddr, Socket, Type};

/// RFC 8305, section 5.
const DELAY: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Answers,
    /// Nobody has this name, which the kernel says at once.
    Refuses,
    /// Its queue is full, and connections wait for what nobody does.
    Silent,
}

const KINDS: [Kind; 3] = [Kind::Answers, Kind::Refuses, Kind::Silent];

/// An address of this kind, and what makes it one.
fn address(kind: Kind) -> (SockAddr, Vec<Socket>) {
    if kind == Kind::Refuses {
        return (SockAddr::unix(format!("\0{}", unused_name())).unwrap(), Vec::new());
    }
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let there = socket.local_addr().unwrap();
    let mut made_of = Vec::new();
    if kind == Kind::Answers {
        socket.listen(8).unwrap();
    } else {
        socket.listen(0).unwrap();
        let queued = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        queued.connect(&there).unwrap();
        made_of.push(queued);
    }
    made_of.push(socket);
    (there, made_of)
}

fn unused_name() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    format!("pinwire-races-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Those of the first one's family and the others in turn, each in their order.
fn in_turn<T: Copy>(all: &[T], family: impl Fn(T) -> bool) -> Vec<T> {
    let is_first = |one: &T| family(*one) == family(all[0]);
    let (firsts, others): (Vec<T>, Vec<T>) = all.iter().partition(|one| is_first(one));
    let turn = |turn| firsts.get(turn).into_iter().chain(others.get(turn)).copied();
    (0..all.len()).flat_map(turn).collect()
}

fn url(address: &SockAddr) -> String {
    String::from_utf8(Address::from(address).url()).unwrap()
}

/// Step until there is nothing to do but to wait for a time or for those who are silent.
fn settle(race: &mut Race, now: Instant, silent: usize) -> Result<Step, String> {
    let long = Instant::now() + Duration::from_secs(20);
    loop {
        match race.step(now).map_err(|error| error.to_string())? {
            // One that answers or refuses may take a moment to say so.
            Step::Wait(_) if race.pending().count() > silent => {
                assert!(Instant::now() < long, "nobody says anything");
                std::thread::yield_now();
            }
            step => return Ok(step),
        }
    }
}

fn check(kinds: &[Kind]) {
    let kinds = in_turn(kinds, |kind| kind == Kind::Refuses);
    let there: Vec<_> = kinds.iter().map(|&kind| address(kind)).collect();
    let addresses: Vec<SockAddr> = there.iter().map(|(there, ..)| there.clone()).collect();
    let mut race = Race::new(addresses.clone(), Options::default());
    let winner = kinds.iter().position(|&kind| kind == Kind::Answers);
    let before = &kinds[..winner.unwrap_or(kinds.len())];
    let mut now = Instant::now();
    // Each silent one gives the next its turn, after the delay; one that refuses does at once.
    let turns = before.iter().filter(|&&kind| kind == Kind::Silent).count();
    for silent in 1..=turns {
        let Ok(Step::Wait(until)) = settle(&mut race, now, silent) else {
            panic!("{kinds:?}: it has to wait")
        };
        assert_eq!(race.pending().count(), silent, "{kinds:?}");
        let is_last = kinds.iter().rposition(|&kind| kind == Kind::Silent) == Some(kinds.len() - 1)
            && silent == turns
            && winner.is_none();
        if is_last {
            assert_eq!(until, None, "{kinds:?}: nobody else has a turn");
            return;
        }
        let until = until.expect("the next has its turn then");
        assert_eq!(until, now + DELAY, "{kinds:?}");
        let early = until - Duration::from_millis(1);
        assert!(matches!(race.step(early), Ok(Step::Wait(Some(same))) if same == until));
        now = until;
    }
    match (settle(&mut race, now, turns), winner) {
        (Ok(Step::Connected(socket)), Some(winner)) => {
            assert_eq!(socket.peer().url(), url(&addresses[winner]).as_bytes(), "{kinds:?}");
        }
        (Ok(Step::Wait(None)), None) => assert!(turns > 0, "{kinds:?}"),
        (Err(text), None) => {
            assert_eq!(turns, 0);
            // All are named, in the order in which they were tried.
            let named = addresses.iter().map(|there| text.find(&url(there)).expect(&text));
            assert!(named.is_sorted(), "{text}");
        }
        (result, _) => panic!("{kinds:?}: {result:?}"),
    }
}

#[test]
fn race_when_addresses_answer_refuse_and_stay_silent_in_any_order_then_the_first_answer_wins() {
    for long in 1..=4u32 {
        for number in 0..KINDS.len().pow(long) {
            let kind = |at| KINDS[number / KINDS.len().pow(at) % KINDS.len()];
            check(&(0..long).map(kind).collect::<Vec<_>>());
        }
    }
}

/// A unix listener whose queue is full, so that it is asked again by the clock.
fn full() -> (SockAddr, UnixListener, UnixStream) {
    let name = unused_name();
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let there = SockAddr::unix(format!("\0{name}")).unwrap();
    socket.bind(&there).unwrap();
    socket.listen(0).unwrap();
    let address = UnixAddr::from_abstract_name(&name).unwrap();
    let queued = UnixStream::connect_addr(&address).unwrap();
    (there, UnixListener::from(std::os::fd::OwnedFd::from(socket)), queued)
}

#[test]
fn race_when_full_listeners_get_room_in_any_order_then_the_first_with_room_wins() {
    const MOST: usize = 3;
    // Each gets room before the step of this number, or never.
    for number in 0..(MOST + 1).pow(MOST as u32) {
        let room = [number % 4, number / 4 % 4, number / 16];
        let listeners: Vec<_> = (0..MOST).map(|_| full()).collect();
        let addresses = listeners.iter().map(|(there, ..)| there.clone()).collect();
        let mut race = Race::new(addresses, Options::default());
        let mut now = Instant::now();
        let mut won = None;
        for step in 0..MOST {
            let with_room: Vec<_> = (0..MOST).filter(|&at| room[at] <= step).collect();
            for &at in with_room.iter().filter(|&&at| room[at] == step) {
                drop(listeners[at].1.accept().unwrap());
            }
            // All are under way in the second step at the earliest, when two delays are over.
            match race.step(now).unwrap() {
                Step::Connected(socket) => {
                    won = Some((step, socket.peer().url().to_vec()));
                    break;
                }
                Step::Wait(until) => {
                    assert!(until.expect("they are asked again") > now);
                    assert_eq!(race.pending().count(), 0, "the kernel does not say when");
                    now += DELAY;
                }
            }
        }
        // The first step tries the first one only, each after it one more.
        let wins = |step: usize| (0..=step).find(|&at| room[at] <= step).map(|at| (step, at));
        let expected = (0..MOST).find_map(wins);
        let names = |at: usize| url(&listeners[at].0).into_bytes();
        assert_eq!(won, expected.map(|(step, at)| (step, names(at))), "{room:?}");
    }
}

/// All of them refuse, and the error names them in the order in which they were tried.
#[test]
fn race_when_families_come_in_any_order_then_they_take_turns() {
    let bind = |domain, address: &str| {
        let socket = Socket::new(domain, Type::STREAM, None).unwrap();
        socket.bind(&address.parse::<SocketAddr>().unwrap().into()).map(|()| socket)
    };
    if bind(Domain::IPV6, "[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6 on loopback");
        return;
    }
    for long in 1..=5 {
        for mask in 0..1u32 << long {
            let is_sixth = |at: u32| mask >> at & 1 == 1;
            let bound: Vec<_> = (0..long)
                .map(|at| match is_sixth(at) {
                    true => bind(Domain::IPV6, "[::1]:0").unwrap(),
                    false => bind(Domain::IPV4, "127.0.0.1:0").unwrap(),
                })
                .collect();
            let addresses: Vec<_> =
                bound.iter().map(|socket| socket.local_addr().unwrap()).collect();
            let mut race = Race::new(addresses.clone(), Options::default());
            let text = settle(&mut race, Instant::now(), 0).unwrap_err();
            let expected = in_turn(&(0..long).collect::<Vec<_>>(), is_sixth);
            let named =
                expected.iter().map(|&at| text.find(&url(&addresses[at as usize])).unwrap());
            assert!(named.is_sorted(), "{text}");
        }
    }
}
