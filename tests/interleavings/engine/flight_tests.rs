use std::sync::Arc;

use loom::thread::{self, JoinHandle};

use super::bell::Bell;
use super::flight::{Flight, Landing, Outcome};
use crate::model_with;
use crate::net::{Error, Memory, Socket, Transfer};
use crate::sys::{Line, newest_line};

/// A flight with a worker that moves nothing: it looks whether it is to land, and sleeps until it
/// is poked, as the one of `bulk` does.
struct Flown {
    flight: Arc<Flight>,
    socket: Arc<Socket>,
    bell: Arc<Bell>,
    line: Arc<Line>,
    worker: JoinHandle<()>,
}

const NUMBER: u64 = 7;

fn landing(outcome: Outcome) -> Landing {
    Landing { transfer: Transfer::new(&Memory::new(0), false), outcome }
}

fn fly(work: fn(&Flight, &Socket, &Bell)) -> Flown {
    let flight = Flight::new(NUMBER);
    let socket = Arc::new(Socket::open());
    assert!(socket.handle().watch(Arc::<Flight>::clone(&flight)).is_some());
    let bell = Arc::new(Bell::new().unwrap());
    let line = newest_line();
    let worker = thread::spawn({
        let (flight, socket, bell) = (Arc::clone(&flight), Arc::clone(&socket), Arc::clone(&bell));
        move || work(&flight, &socket, &bell)
    });
    Flown { flight, socket, bell, line, worker }
}

fn until_told(flight: &Flight, socket: &Socket, bell: &Bell) {
    let outcome = loop {
        if flight.is_stopped() {
            break Outcome::Stopped;
        }
        if !socket.handle().is_open() {
            break Outcome::Failed(Error::Closed);
        }
        flight.poke().sleep();
    };
    flight.land(landing(outcome), bell);
}

fn at_once(flight: &Flight, _: &Socket, bell: &Bell) {
    flight.land(landing(Outcome::Done), bell);
}

fn told_too_early(flight: &Flight, socket: &Socket, bell: &Bell) {
    bell.tell(flight.number());
    at_once(flight, socket, bell);
}

#[test]
fn flight_when_it_is_stopped_then_it_lands_and_comes_back_once() {
    loom::model(|| {
        let Flown { flight, socket, bell, line, worker } = fly(until_told);
        flight.stop();
        flight.wait();
        let landing = flight.take(&socket).expect("it has landed");
        assert_eq!(landing.transfer.progress().transferred(), 0);
        assert!(matches!(landing.outcome, Outcome::Stopped));
        assert!(flight.take(&socket).is_none());
        worker.join().unwrap();
        assert!(line.is_readable());
        assert_eq!(bell.take(), Some(NUMBER));
        assert_eq!(Arc::strong_count(&flight), 1, "the socket has let go of it");
    });
}

#[test]
fn flight_when_its_socket_is_closed_while_it_is_stopped_then_it_lands() {
    model_with(Some(3), || {
        let Flown { flight, socket, worker, .. } = fly(until_told);
        let closer = thread::spawn({
            let socket = Arc::clone(&socket);
            move || drop(socket.handle().close())
        });
        flight.stop();
        flight.wait();
        let outcome = flight.take(&socket).expect("it has landed").outcome;
        assert!(matches!(outcome, Outcome::Stopped | Outcome::Failed(Error::Closed)));
        closer.join().unwrap();
        worker.join().unwrap();
    });
}

#[test]
fn flight_when_its_socket_is_closed_then_the_loop_hears_that_it_landed() {
    loom::model(|| {
        let Flown { flight, socket, bell, line, worker } = fly(until_told);
        drop(socket.handle().close());
        line.sleep();
        assert_eq!(bell.take(), Some(NUMBER));
        let outcome = flight.take(&socket).expect("who is told finds it").outcome;
        assert!(matches!(outcome, Outcome::Failed(Error::Closed)));
        worker.join().unwrap();
    });
}

#[test]
fn flight_when_it_lands_by_itself_while_it_is_stopped_then_who_is_told_finds_it() {
    loom::model(|| finds_it(at_once));
}

#[test]
#[should_panic(expected = "who is told finds it")]
fn flight_when_the_bell_tells_before_it_is_back_then_loom_finds_that_it_is_not() {
    loom::model(|| finds_it(told_too_early));
}

fn finds_it(work: fn(&Flight, &Socket, &Bell)) {
    let Flown { flight, socket, bell, line, worker } = fly(work);
    let stopper = thread::spawn({
        let flight = Arc::clone(&flight);
        move || flight.stop()
    });
    line.sleep();
    assert_eq!(bell.take(), Some(NUMBER));
    let found = flight.take(&socket).is_some();
    stopper.join().unwrap();
    worker.join().unwrap();
    assert!(found, "who is told finds it");
}

#[test]
fn flight_when_several_threads_wait_and_take_then_all_wake_and_one_has_it() {
    loom::model(|| {
        let Flown { flight, socket, worker, .. } = fly(at_once);
        let others = [(); 1].map(|()| {
            let (flight, socket) = (Arc::clone(&flight), Arc::clone(&socket));
            thread::spawn(move || {
                flight.wait();
                flight.take(&socket).is_some()
            })
        });
        flight.wait();
        let mine = flight.take(&socket).is_some();
        let theirs = others.map(|other| other.join().unwrap());
        worker.join().unwrap();
        assert_eq!(theirs.into_iter().chain([mine]).filter(|&had| had).count(), 1);
    });
}
