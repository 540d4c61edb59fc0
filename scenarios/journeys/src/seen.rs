//! What goose timed inside a transaction.

use goose::metrics::{GooseMetric, GooseRequestMetric};
use goose::prelude::GooseMethod;

use crate::walk::MARK;

/// One request or exchange that goose recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// How long it took, us: for HTTP until the head of the answer was there, for exchanges what the code measured.
    pub us: u64,
    /// The code timed it itself; else it is HTTP.
    pub exchange: bool,
    /// Status of the answer; 0 if there is none.
    pub status: u16,
    /// It went well, as far as goose can tell.
    pub well: bool,
    /// It says only that an earlier one was a failure after all: nothing was timed.
    pub correction: bool,
}

impl Seen {
    /// The requests in a message of goose's; our own mark and goose's sums are left out.
    pub(crate) fn of(metric: GooseMetric) -> Option<Self> {
        let request: Box<GooseRequestMetric> = match metric {
            GooseMetric::Request(request) | GooseMetric::All { request, .. } => request,
            _ => return None,
        };
        if *request.name == *MARK {
            return None;
        }
        Some(Self {
            us: request.response_time_micros(),
            exchange: request.raw.method == GooseMethod::Custom,
            status: request.status_code,
            well: request.success,
            correction: request.update,
        })
    }
}
