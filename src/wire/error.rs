use thiserror::Error;

/// What no well-behaved peer sends.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WireError {
    /// The first bytes are not those of a hello.
    #[error("the peer does not speak pinwire: its first bytes are not those of a hello")]
    NotPinwire,
    /// There is no version that both ends speak.
    #[error(
        "the peer speaks versions {lowest} to {highest} of the wire format, this end speaks \
         {ours}: upgrade the older of the two"
    )]
    Version {
        /// The lowest one it speaks.
        lowest: u8,
        /// The highest one.
        highest: u8,
        /// What we speak.
        ours: u8,
    },
    /// A length is over its limit.
    #[error("the peer announces {announced} {what}, and {limit} is the limit")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// As announced.
        announced: u64,
        /// As allowed.
        limit: u64,
    },
    /// A dtype's text describes no items.
    #[error("the peer sends a dtype that makes no sense: {0}")]
    Dtype(&'static str),
    /// A dtype's text and the size beside it disagree.
    #[error("the peer sends a dtype whose items have another size")]
    OtherSize,
    /// Fields contradict one another, or one has a value that means nothing.
    #[error("the peer sends a frame that makes no sense: {0}")]
    Nonsense(&'static str),
}

/// Refuse an announced number that is over its limit.
pub(in crate::wire) fn within(
    what: &'static str,
    announced: u64,
    limit: u64,
) -> Result<(), WireError> {
    if announced > limit { Err(WireError::TooMuch { what, announced, limit }) } else { Ok(()) }
}
