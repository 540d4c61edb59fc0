//! A stretch of the monotonic clock, and what is left of it without others.
//!
//! Owns the arithmetic by which a stall of the loop is set off against hiccups of the whole process.

use timeline::probe::ProbeEvent;

/// From `start` to `end`, nanoseconds of the monotonic clock. Empty if it ends before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// First instant.
    pub(crate) start: u64,
    /// Last instant.
    pub(crate) end: u64,
}

impl Stretch {
    /// Nanoseconds.
    pub(crate) const fn length(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Nanoseconds that both have.
    pub(crate) fn overlap(self, other: Self) -> u64 {
        Self { start: self.start.max(other.start), end: self.end.min(other.end) }.length()
    }

    /// The event of `kind` over it.
    pub(crate) fn event(self, kind: &str) -> ProbeEvent {
        ProbeEvent {
            kind: kind.to_owned(),
            start: self.start,
            end: self.end.max(self.start),
            labels: Vec::new(),
            value: 0.0,
            others: 0,
        }
    }

    /// What `hiccups` (in order of time) do not explain of it: the pieces of at least `least` ns.
    ///
    /// A hiccup of at least `least` cuts it in pieces. Shorter ones do not (else a stall of 100 ms would
    /// fall apart into many), but a piece must keep `least` without them.
    pub(crate) fn unexplained(self, hiccups: &[Self], least: u64) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut from = self.start;
        for cut in hiccups.iter().filter(|h| h.length() >= least) {
            pieces.push(Self { start: from, end: cut.start.min(self.end) });
            from = from.max(cut.end);
        }
        pieces.push(Self { start: from, end: self.end });
        let own = |p: &Self| {
            let explained: u64 = hiccups.iter().filter(|h| h.length() < least).map(|h| p.overlap(*h)).sum();
            p.length().saturating_sub(explained) >= least
        };
        pieces.retain(own);
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::Stretch;
    use proptest::prelude::*;

    const fn s(start: u64, end: u64) -> Stretch {
        Stretch { start, end }
    }

    #[test]
    fn a_stall_is_what_no_hiccup_explains() {
        assert_eq!(s(0, 100).unexplained(&[], 20), [s(0, 100)]);
        assert_eq!(s(0, 100).unexplained(&[s(0, 100)], 20), []);
        assert_eq!(s(0, 100).unexplained(&[s(30, 90)], 20), [s(0, 30)]);
        assert_eq!(s(0, 100).unexplained(&[s(40, 45)], 20), [s(0, 100)]);
        assert_eq!(s(0, 22).unexplained(&[s(5, 20)], 20), []);
        assert_eq!(s(10, 15).unexplained(&[], 20), []);
    }

    proptest! {
        #[test]
        fn pieces_lie_inside_and_outside_of_long_hiccups(start in 0..500_u64, len in 0..500_u64, gaps in prop::collection::vec((0..60_u64, 1..60_u64), 0..8)) {
            let stall = s(start, start + len);
            let mut at = 0;
            let hiccups: Vec<Stretch> = gaps.iter().map(|(gap, long)| { let h = s(at + gap, at + gap + long); at = h.end; h }).collect();
            for p in stall.unexplained(&hiccups, 20) {
                prop_assert!(p.start >= stall.start && p.end <= stall.end && p.length() >= 20);
                prop_assert!(hiccups.iter().filter(|h| h.length() >= 20).all(|h| h.overlap(p) == 0));
            }
        }
    }
}
