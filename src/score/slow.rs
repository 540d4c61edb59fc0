//! What takes time to show: how long a fault must last for anybody to see it, and which of them are timed from then on.

use timeline::fault::FaultKind;

/// Seconds of data, from the fault's onset, that each detector of a slow fault says it needs (its `//!` has the reason).
const LEAST_DATA_S: [(FaultKind, f64); 5] = [
    // 8 s for the slope of what is live, and 5 s until what was allocated counts as old.
    (FaultKind::Leak, 13.0),
    // Three connections lost and a second more: at the catalogue's 200 uses a second, of which a hundredth is lost.
    (FaultKind::PoolLeak, 2.5),
    // The holes must have been there for so long: an allocator keeps pages for a while before it gives them back.
    (FaultKind::Fragmentation, 6.0),
    // The trend of descriptors, ten samples at 2 Hz.
    (FaultKind::FdExhausted, 5.0),
    // A burst that drains again turns before.
    (FaultKind::BrokerBacklog, 5.0),
];

/// The same of a slow consumer, which is timed from its onset all the same: a queue that gives nothing back for so long. While a client's
/// requests wait for something else its queue begins late.
const QUEUE_S: f64 = 5.0;

/// Seconds of data from its onset without which `fault` cannot be told; 0 for all but the slow ones.
pub fn least_data_s(fault: FaultKind) -> f64 {
    LEAST_DATA_S.iter().find(|l| l.0 == fault).map_or(0.0, |l| l.1)
}

/// Seconds from its onset for which `fault` must last to be told.
pub fn shows_in_s(fault: FaultKind) -> f64 {
    if fault == FaultKind::SlowConsumer { QUEUE_S } else { least_data_s(fault) }
}

/// Does it show only in a history?
pub fn is_slow(fault: FaultKind) -> bool {
    LEAST_DATA_S.iter().any(|l| l.0 == fault)
}
