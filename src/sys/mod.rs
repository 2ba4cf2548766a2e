//! One function per system call: EINTR retried, errors as `io::Result`, nothing decided here.

mod event;
mod linux;
mod map;
mod process;
mod unix;

pub use event::Event;
pub use linux::{accept, peer_credentials, send_file, set_keepalive_idle, set_time_slice};
pub use map::{HUGE_PAGE, Mapping};
pub use process::{forks, in_main_thread};
pub use unix::{
    Credentials, Interest, duplicate, file_size, getsockopt, is_nonblocking,
    leave_signals_to_others, poll, read_at, receive, send, set_nonblocking, setsockopt,
    shutdown_send, take_error,
};
