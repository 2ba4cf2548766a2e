//! One function per system call: EINTR retried, errors as `io::Result`, nothing decided here.

mod event;
mod linux;
mod map;
mod peer;
mod process;
mod unix;

pub use event::Event;
pub use linux::{
    accept, peer_credentials, received_in_all, send_file, set_keepalive_idle, set_time_slice,
};
pub use map::{HUGE_PAGE, Mapping};
pub use peer::{boot_id, has_ended, network_namespace, peek, peer_process, random, read_process};
pub use process::{effective_user, forks, in_main_thread};
pub use unix::{
    Credentials, Interest, duplicate, file_size, getsockopt, is_nonblocking,
    leave_signals_to_others, poll, read_at, receive, receive_bytes, send, send_bytes,
    set_nonblocking, setsockopt, shutdown_send, take_error, unread,
};
