//! What two ends on one host say to each other, beside messages.
//!
//! By the network connection: the `invitation`, and `by_link`, which is what the header of an
//! offered message says. Neither names memory. By the link, whose ends the kernel names: the
//! `handshake`, and the `answer` to an offer. In the memory of who offers: the `board`, and the
//! `offer` that it leads to. `docs/wire-format.md` has every byte.

mod answer;
mod board;
mod by_link;
mod handshake;
mod invitation;
mod offer;

pub use answer::{ANSWER_LEN, Answer, Verdict};
pub use board::{BOARD_LEN, Board, Place};
pub use by_link::ByLink;
pub use handshake::{JOIN_LEN, Join, WELCOME_LEN, Welcome};
pub use invitation::Invitation;
pub use offer::{MAX_RUNS, Offer, Run};
