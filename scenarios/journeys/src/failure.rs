//! Why a transaction failed, in words that need no goose.

use std::error::Error as _;
use std::io;

use goose::prelude::TransactionError;

/// Why a transaction failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection; the system's error number if it gave one.
    Connect(Option<i32>),
    /// The connection broke; the system's error number if it gave one.
    Broken(Option<i32>),
    /// It took longer than the client allows.
    Timeout,
    /// The answer's status was not right.
    Status,
    /// The code found something wrong with the answer.
    Judged,
    /// The code is at fault, or goose.
    Other,
}

impl Failure {
    pub(crate) fn of(error: &TransactionError) -> Self {
        match error {
            TransactionError::Reqwest(e) if e.is_timeout() => Self::Timeout,
            TransactionError::Reqwest(e) if e.is_connect() => Self::Connect(number(e)),
            TransactionError::Reqwest(e) if e.is_status() => Self::Status,
            TransactionError::Reqwest(e) if e.is_decode() => Self::Judged,
            TransactionError::Reqwest(e) => Self::Broken(number(e)),
            TransactionError::RequestFailed { raw_request } if raw_request.status_code >= 400 => Self::Status,
            TransactionError::RequestFailed { .. } | TransactionError::Custom(_) => Self::Judged,
            _ => Self::Other,
        }
    }
}

/// The system's error number at the bottom of an error.
fn number(error: &reqwest::Error) -> Option<i32> {
    let mut cause = error.source();
    while let Some(e) = cause {
        if let Some(io) = e.downcast_ref::<io::Error>()
            && let Some(number) = io.raw_os_error()
        {
            return Some(number);
        }
        cause = e.source();
    }
    None
}
