//! One function per system call: EINTR retried, errors as `io::Result`, nothing decided here.
//!
//! `unix` has what sockets need, and `linux` what only this kernel has; `counter` is the number
//! behind an eventfd(2), `event` a flag made of one; `map` is an mmap(2), `process` this process, and
//! `peer` another one of this host. `sync` is what threads wait with.

mod counter;
mod event;
mod linux;
mod map;
mod peer;
mod process;
pub(crate) mod sync;
mod unix;

pub use event::Event;
pub use linux::{
    accept, peer_credentials, received_in_all, refuse_descriptors, refuses_descriptors, send_file,
    set_keepalive_idle, set_time_slice, was_connected,
};
pub use map::{HUGE_PAGE, Mapping};
pub use peer::{
    boot_id, is_gone, network_namespace, peek, proc_is_ours, process_user, random, read_process,
    receive_packet, tell_senders,
};
pub use process::{descriptor_limit, effective_user, forks, in_main_thread, overflow_user};
pub use unix::{
    Credentials, Interest, duplicate, file_size, getsockopt, is_nonblocking,
    leave_signals_to_others, poll, read_at, receive, receive_bytes, receive_with_descriptors, send,
    send_bytes, set_nonblocking, setsockopt, shutdown_send, take_error, unread,
};
