use std::sync::Arc;

use loom::thread;

use super::Socket;
use crate::model_with;
use crate::sys::{Event, newest_line};

#[test]
fn handle_when_it_is_closed_at_any_moment_then_whoever_watches_wakes_or_is_told() {
    model_with(Some(3), || {
        let socket = Arc::new(Socket::open());
        let closers = [(); 2].map(|()| {
            let socket = Arc::clone(&socket);
            thread::spawn(move || socket.handle().close().is_some())
        });
        let event = Arc::new(Event::new().unwrap());
        let line = newest_line();
        if socket.handle().watch(Arc::<Event>::clone(&event)).is_some() {
            line.sleep();
            socket.handle().forget(&event);
        }
        assert!(!socket.handle().is_open());
        assert!(socket.handle().get().is_none());
        let closed = closers.map(|closer| closer.join().unwrap());
        assert_eq!(closed.into_iter().filter(|&closed| closed).count(), 1, "it is closed once");
    });
}

#[test]
fn handle_when_a_sleeper_is_forgotten_then_it_is_let_go_and_the_other_wakes() {
    loom::model(|| {
        let socket = Arc::new(Socket::open());
        let (one, other) = (Arc::new(Event::new().unwrap()), Arc::new(Event::new().unwrap()));
        let line = newest_line();
        for event in [&one, &other] {
            assert!(socket.handle().watch(Arc::<Event>::clone(event)).is_some());
        }
        let closer = thread::spawn({
            let socket = Arc::clone(&socket);
            move || drop(socket.handle().close())
        });
        socket.handle().forget(&one);
        assert_eq!(Arc::strong_count(&one), 1);
        line.sleep();
        closer.join().unwrap();
        assert_eq!(Arc::strong_count(&other), 1);
    });
}
