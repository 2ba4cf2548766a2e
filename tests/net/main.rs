//! The state machine of a transfer, addresses and sockets, without Python.
#![allow(unsafe_code)]

mod files;
mod pulls;
mod races;
mod receives;
mod sends;
mod transfers;
mod turns;

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use pinwire::engine;
use pinwire::mem::{Access, Copying, Cursor, Region, Runs};
use pinwire::net::{
    Address, Direction, Error, Goal, OpenError, Opened, Options, Payload, Race, Socket, State,
    Step, Torn, Transfer, UnixName,
};

fn transfer(memory: &mut [u8], access: Access, goal: Goal) -> Transfer {
    let mut cursor = Cursor::new(access);
    let region = Region { base: memory.as_mut_ptr(), len: memory.len() };
    // SAFETY: the tests keep `memory` for as long as the transfer.
    cursor.push(unsafe { Runs::contiguous(region) }, Copying::Allowed).unwrap();
    Transfer::new(Payload::Memory(cursor), goal)
}

fn pair() -> (Arc<Socket>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let opened = Opened::Elsewhere { nonblocking: false };
    let socket = Socket::new(OwnedFd::from(ours), None, &Options::default(), opened).unwrap();
    (socket, theirs)
}

/// What the blocking driver's signal handler would raise; here nothing does.
#[derive(Debug)]
enum Failure {
    Core(Error),
    Connect(OpenError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Core(error)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        Failure::Connect(error)
    }
}

fn drive(socket: &Socket, transfer: &mut Transfer, limit: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    let fd = socket.fd()?;
    let state = engine::attempt(socket, fd.as_fd(), transfer, engine::CALL)?;
    engine::transfer(socket, transfer, state, Some(deadline), &mut || Ok(()))
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_receive_of_some_ends_after_the_first_bytes() {
    let mut memory = [0; 9];
    let mut transfer = transfer(&mut memory, Access::Write, Goal::Some);
    assert_eq!(transfer.direction(), Direction::Receive);
    assert!(transfer.next(usize::MAX).is_some());
    assert_eq!(transfer.moved(4), State::Done);
    assert!(transfer.next(usize::MAX).is_none());
}

#[test]
fn a_receive_of_some_that_spins_takes_what_came_and_no_more() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let options = Options { busy_poll: LONG, ..Options::default() };
    let opened = Opened::Elsewhere { nonblocking: false };
    let socket = Socket::new(OwnedFd::from(ours), None, &options, opened).unwrap();
    let mut memory = [0; 9];
    let mut transfer = transfer(&mut memory, Access::Write, Goal::Some);
    thread::scope(|scope| {
        let receiver = scope.spawn(|| drive(&socket, &mut transfer, LONG));
        while socket.stats().system_calls.load(std::sync::atomic::Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
        theirs.write_all(b"abc").unwrap();
        receiver.join().unwrap().unwrap();
    });
    assert_eq!(transfer.progress().transferred(), 3);
}

#[test]
fn the_end_of_a_stream_is_an_error_only_if_more_was_asked_for() {
    let mut memory = [0; 9];
    let mut some = transfer(&mut memory, Access::Write, Goal::Some);
    assert_eq!(some.ended().unwrap(), State::Done);
    let mut all = transfer(&mut memory, Access::Write, Goal::All);
    assert!(matches!(all.ended(), Err(Error::Incomplete)));
}

#[test]
fn a_transfer_can_move_to_another_thread() {
    fn check<T: Send + 'static>() {}
    check::<Transfer>();
    check::<pinwire::net::Turn>();
}

#[test]
fn bytes_cross_a_socket_under_a_slow_reader() {
    let (socket, mut theirs) = pair();
    let mut sent: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let expected = sent.clone();
    let reader = thread::spawn(move || {
        let mut got = Vec::new();
        std::io::Read::read_to_end(&mut theirs, &mut got).unwrap();
        got
    });
    let mut transfer = transfer(&mut sent, Access::Read, Goal::All);
    drive(&socket, &mut transfer, LONG).unwrap();
    drop(socket);
    assert!(reader.join().unwrap() == expected);
}

#[test]
fn closing_wakes_a_thread_that_sleeps() {
    let (socket, _theirs) = pair();
    let mut memory = [0; 9];
    let mut transfer = transfer(&mut memory, Access::Write, Goal::All);
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| drive(&socket, &mut transfer, LONG));
        // It counts a wait before it sleeps, and closing also ends a sleep that is yet to come.
        while socket.stats().waits.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        drop(socket.handle().close());
        let result = sleeper.join().unwrap();
        assert!(matches!(result, Err(Failure::Core(Error::Closed))), "{result:?}");
    });
}

#[test]
fn a_deadline_ends_a_transfer_and_keeps_the_count() {
    let (socket, mut theirs) = pair();
    theirs.write_all(b"abc").unwrap();
    let mut memory = [0; 9];
    let mut transfer = transfer(&mut memory, Access::Write, Goal::All);
    let result = drive(&socket, &mut transfer, Duration::ZERO);
    assert!(matches!(result, Err(Failure::Core(Error::TimedOut))), "{result:?}");
    assert_eq!(transfer.progress().transferred(), 3);
    assert_eq!(&memory[..3], b"abc");
}

#[test]
fn a_direction_serves_one_transfer_at_a_time() {
    let (socket, _theirs) = pair();
    let turn = socket.begin(Direction::Send).unwrap();
    assert!(matches!(socket.begin(Direction::Send), Err(Error::Busy(Direction::Send))));
    assert!(socket.begin(Direction::Receive).is_ok());
    drop(turn);
    assert!(socket.begin(Direction::Send).is_ok());
}

#[test]
fn a_torn_stream_sends_no_more_but_receives() {
    let (socket, _theirs) = pair();
    let torn = Torn { transferred: 3, nbytes: 9 };
    socket.tear(torn);
    socket.tear(Torn { transferred: 1, nbytes: 2 });
    assert!(matches!(socket.begin(Direction::Send), Err(Error::Torn(first)) if first == torn));
    assert!(socket.begin(Direction::Receive).is_ok());
    assert!(socket.send_eof().is_ok());
}

#[test]
fn addresses_are_read_and_written_back() {
    for url in
        ["tcp://localhost:80", "tcp://[::1]:0", "tcp://:9", "unix:///tmp/a b%20c", "unix:@name"]
    {
        let address = Address::parse(OsStr::new(url)).unwrap();
        assert_eq!(address.url(), url.as_bytes());
    }
}

#[test]
fn bad_addresses_are_refused() {
    for url in [
        "",
        "localhost:80",
        "tcp://localhost",
        "tcp://localhost:",
        "tcp://localhost:+80",
        "tcp://localhost:65536",
        "tcp://::1:80",
        "tcp://[::1:80",
        "tcp://[host]:80",
        "tcp://host:80/path",
        "tcp://user@host:80",
        "unix://relative",
        "unix:///tmp/a\0b",
        "unix:",
        "udp://host:80",
    ] {
        assert!(Address::parse(OsStr::new(url)).is_err(), "{url}");
    }
}

#[test]
fn unix_names_keep_every_byte() {
    for name in [&b"/tmp/\xff"[..], b"\0abstract\0name", b""] {
        assert_eq!(UnixName::from_bytes(name).to_bytes(), name);
    }
}

#[test]
fn a_race_goes_on_to_the_next_address_and_names_all_that_failed() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = listener.local_addr().unwrap();

    let mut race = Race::new(vec![gone.into(), there.into()], Options::default());
    let socket = engine::connect::<Failure>(&mut race, None, &mut || Ok(())).unwrap();
    assert_eq!(socket.peer().url(), format!("tcp://{there}").as_bytes());

    let mut race = Race::new(vec![gone.into(), gone.into()], Options::default());
    match engine::connect::<Failure>(&mut race, None, &mut || Ok(())) {
        Err(Failure::Connect(error)) => {
            assert_eq!(error.errno(), Some(libc::ECONNREFUSED));
            assert_eq!(error.to_string().matches("refused").count(), 2);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_race_starts_the_next_attempt_when_one_is_slow() {
    // A listener whose queue is full leaves further connections unanswered.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let slow = full.local_addr().unwrap();
    let _queued = std::net::TcpStream::connect(slow.as_socket().unwrap()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = listener.local_addr().unwrap();

    let start = Instant::now();
    let mut race = Race::new(vec![slow, there.into()], Options::default());
    let Ok(Step::Wait(Some(until))) = race.step(start) else { panic!("it had to wait") };
    assert!(until > start && race.pending().count() == 1);
    let winner = loop {
        match race.step(until).unwrap() {
            Step::Connected(socket) => break socket,
            Step::Wait(_) => thread::yield_now(),
        }
    };
    assert_eq!(winner.peer().url(), format!("tcp://{there}").as_bytes());
}
