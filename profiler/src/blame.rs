//! Blame: does the added response time fall into a finding's episodes, more than chance would have it?
//!
//! Owns the test against circular shifts. Overlap alone is no proof: what lasts long enough overlaps everything, and what
//! comes as often as the true cause may fall in step with it. So the share of the excess that overlaps is
//! compared with the same episodes at other times; both the distance from the median of those and the rank among them must hold.
//!
//! The null must not contain the truth. Episodes that come with a period show it again a period later (measured: such a
//! shift still explains 52 to 84 % where others explain 0 to 28 %), so shifts near zero or near a multiple of the period are
//! not drawn. They are left out by half an episode and no more: an innocent span of the same period that lies elsewhere is then
//! beaten by the shift that brings it onto the excess, and its rank fails.
//!
//! Only the time from the first episode to the last one is looked at: that two things were both on in the same minute
//! is one coincidence, and shifts to a time before either of them would count it as many.
//!
//! Besides, most single episodes must be bad ones, more of them than independent ones would be: a few great coincidences
//! can make a share.
//!
//! What the test cannot tell: one long episode is one coincidence, however long, so fewer than [`LEAST_EPISODES`] are not
//! tested; nor can it tell two things apart that always happen at the same instant. Mechanisms and onsets do that (`causes`).

use std::time::Duration;

use timeline::{Span, Unit};

use crate::excess::{CELL, Excess};
use crate::stats::median;

/// Different shifts that the null is made of, at most; 200 are the least for a rank of 1 %, twice as many halve its error.
pub const SHIFTS: u32 = 400;
/// With fewer of them nothing is said. Where fewer of them are by whole cells, as in a short span, others by parts of a cell lie between, which
/// depend on their neighbours: then nothing is confirmed.
pub const LEAST_SHIFTS: u32 = 200;
/// Fewer episodes than these could well coincide by chance: were each within reach of a bad moment half of
/// the time, five would all be so once in 32 cases.
pub const LEAST_EPISODES: usize = 5;
/// Least distance of the share from the null's median: what shares move by between equal runs.
const LEAST_EFFECT: f64 = 0.10;
/// Most of the shifts that may do as well.
const MOST_AS_GOOD: f64 = 0.01;
/// Were episodes independent of the excess, so many of them would be bad no more often than this. Findings are weighed once a
/// second, so in a minute one at 1 % would be let through by chance every other time; one in a thousand is.
const MOST_LIKELY_BY_CHANCE: f64 = 0.001;
/// And more than this share of them must be bad: what hits now and then is no cause.
const LEAST_BAD: f64 = 0.5;
/// Below this distance, and with a rank worse than one in ten, the overlap is no better than chance.
const NO_EFFECT: f64 = 0.05;
const CHANCE_RANK: f64 = 0.10;
/// Episodes that cover more of the window than this leave no time to shift them to.
const MOST_COVERED: f64 = 0.7;
/// Gaps that spread by less than this share of their median are a period.
const PERIODIC: f64 = 0.15;
/// Intervals that must fit between one episode's start and the next one's, for a lane to tell them apart.
const SHARP: u32 = 4;
/// Seed of the shifts: the same run gets the same ones.
const SEED: u64 = 0x5EED;

/// What the test said of one finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Blame {
    /// Share of the excess in the span that overlaps the episodes, 0 to 1.
    pub share: f64,
    /// The same overlap as a share of all excess of the window, before the first episode and after the last one too.
    pub of_all: f64,
    /// Median of that share over the shifts.
    pub chance: f64,
    /// How many shifts did as well.
    pub as_good: u32,
    /// How many different ones were tried.
    pub shifts: u32,
    /// How many there are that lie a cell apart, up to [`SHIFTS`].
    pub apart: u32,
    /// Episodes in the window.
    pub episodes: usize,
    /// Those of them with more than the mean excess.
    pub bad: usize,
    /// Share of all moments with more than the mean excess.
    pub usually_bad: f64,
    /// The lane of the excess tells one episode from the next.
    pub sharp: bool,
    /// The lane of the excess.
    pub lane: &'static str,
    /// From the first episode in the window to the last one.
    pub span: Span,
}

impl Blame {
    /// Tests `episodes` (in order) against the excess; none where there are too few of them, or no time to shift them to.
    pub fn of(excess: &Excess, episodes: &[Span]) -> Option<Self> {
        let inside: Vec<Span> =
            episodes.iter().copied().filter(|e| e.overlap(excess.span) > Duration::ZERO).collect();
        if inside.len() < LEAST_EPISODES {
            return None;
        }
        let all = excess.total();
        let excess = &excess.between(hull(&inside, excess.span));
        if excess.total() <= 0.0 {
            return None;
        }
        let track = Track::new(excess, &inside);
        if track.covered() > MOST_COVERED {
            return None;
        }
        let share = track.share(0);
        let (shifts, apart) = track.shifts(&inside);
        let shares: Vec<f64> = shifts.iter().map(|&s| track.share_between(s)).collect();
        let as_good = shares.iter().filter(|&&s| s >= share).count() as u32;
        Some(Self {
            share,
            of_all: share * excess.total() / all,
            chance: median(shares)?,
            as_good,
            shifts: shifts.len() as u32,
            apart,
            episodes: inside.len(),
            bad: inside.iter().filter(|e| excess.between(**e).mean() > excess.mean()).count(),
            usually_bad: usually_bad(excess),
            sharp: excess.known_to * SHARP <= Duration::from_secs_f64(rhythm(&inside)),
            lane: excess.lane,
            span: excess.span,
        })
    }

    /// Does the overlap stand out, by effect and by rank, and in most episodes?
    pub fn holds(&self) -> bool {
        self.shifts >= LEAST_SHIFTS
            && self.share - self.chance >= LEAST_EFFECT
            && self.rank() <= MOST_AS_GOOD
            && self.bad as f64 > LEAST_BAD * self.episodes as f64
            && at_least(self.bad, self.episodes, self.usually_bad) <= MOST_LIKELY_BY_CHANCE
    }

    /// Does it hold against so many shifts that lie a cell apart that it confirms the finding?
    pub fn confirms(&self) -> bool {
        self.holds() && self.apart >= LEAST_SHIFTS
    }

    /// Is it what chance would give? Only a lane that shows single episodes can say so: one that smears each over all of the
    /// time to the next gives the truth the same share as chance.
    pub fn is_chance(&self) -> bool {
        self.shifts >= LEAST_SHIFTS
            && self.sharp
            && self.share - self.chance < NO_EFFECT
            && self.rank() > CHANCE_RANK
    }

    fn rank(&self) -> f64 {
        f64::from(self.as_good) / f64::from(self.shifts.max(1))
    }

    /// The figures as a sentence.
    pub fn sentence(&self) -> String {
        let as_good = match self.as_good {
            0 => "none does as well".to_owned(),
            1 => "1 does as well".to_owned(),
            n => format!("{n} do as well"),
        };
        let few = if self.apart < LEAST_SHIFTS {
            format!(" ({} of them by whole cells; it takes {LEAST_SHIFTS} such to confirm)", self.apart)
        } else {
            String::new()
        };
        format!(
            "{} of the added response time falls into its {} episodes; by chance {}, the median of {} different shifts{few}, of which {as_good}",
            Unit::Ratio.show(self.share),
            self.episodes,
            Unit::Ratio.show(self.chance),
            self.shifts,
        )
    }
}

/// From the first episode to the last one and its gap, so that going around the end keeps the rhythm.
fn hull(episodes: &[Span], window: Span) -> Span {
    let gaps = episodes.windows(2).map(|w| w[1].start.since(w[0].end).as_secs_f64()).collect();
    let gap = Duration::from_secs_f64(median(gaps).unwrap_or(0.0).max(0.0));
    let (first, last) = (episodes[0].start, episodes[episodes.len() - 1].end);
    Span::new(first.max(window.start), (last + gap).min(window.end))
}

fn usually_bad(excess: &Excess) -> f64 {
    let mean = excess.mean();
    excess.cells.iter().filter(|&&c| c > mean).count() as f64 / excess.cells.len() as f64
}

/// Excess and coverage by episodes on the same grid.
struct Track<'a> {
    excess: &'a [f64],
    total: f64,
    /// Cells that episodes touch, with the covered share of each.
    covered: Vec<(usize, f64)>,
}

impl<'a> Track<'a> {
    fn new(excess: &'a Excess, episodes: &[Span]) -> Self {
        let mut cover = vec![0.0_f64; excess.cells.len()];
        let cell = CELL.as_nanos() as u64;
        for e in episodes {
            let first = (e.start.0.saturating_sub(excess.span.start.0) / cell) as usize;
            for (i, c) in cover.iter_mut().enumerate().skip(first) {
                let start = excess.span.start + CELL * i as u32;
                if start >= e.end {
                    break;
                }
                *c += Span::new(start, start + CELL).overlap(*e).as_secs_f64() / CELL.as_secs_f64();
            }
        }
        let covered =
            cover.into_iter().enumerate().filter(|c| c.1 > 0.0).map(|(i, c)| (i, c.min(1.0))).collect();
        Self { excess: &excess.cells, total: excess.total(), covered }
    }

    fn covered(&self) -> f64 {
        self.covered.iter().map(|c| c.1).sum::<f64>() / self.excess.len() as f64
    }

    /// Share of the excess under the episodes, moved on by `shift` cells, around the end to the start.
    fn share(&self, shift: usize) -> f64 {
        let n = self.excess.len();
        let sum: f64 = self
            .covered
            .iter()
            .map(|&(i, c)| {
                let j = i + shift;
                c * self.excess[if j < n { j } else { j - n }]
            })
            .sum();
        sum / self.total
    }

    /// The same for a shift by a part of a cell: the excess between two cells is taken to go from the one to the other evenly.
    fn share_between(&self, shift: f64) -> f64 {
        let (whole, part) = (shift as usize, shift.fract());
        let share = self.share(whole);
        if part > 0.0 { share + part * (self.share(whole + 1) - share) } else { share }
    }

    /// Different shifts, in cells, that are neither near zero nor near a multiple of the episodes' period, as many as [`SHIFTS`] at random; and how
    /// many of them there are by whole cells. Where those are too few, parts of a cell between two of them count as well, though excess and episodes
    /// are not known so finely.
    fn shifts(&self, episodes: &[Span]) -> (Vec<f64>, u32) {
        let n = self.excess.len();
        let lengths = episodes.iter().map(|e| e.length().as_secs_f64()).collect();
        let cell = CELL.as_secs_f64();
        // A cell and a half: excess and episode are each known to a cell.
        let near = (median(lengths).unwrap_or(0.0) / 2.0).max(1.5 * cell) / cell;
        let period = period(episodes).map(|p| p / cell);
        let again = |x: f64| match period {
            Some(p) => (x % p).min(p - x % p) < near,
            None => x < near,
        };
        // What goes around the end has been moved back by the rest.
        let mut left: Vec<f64> =
            (1..n).filter(|&s| !again(s as f64) && !again((n - s) as f64)).map(|s| s as f64).collect();
        let wanted = SHIFTS as usize;
        let apart = left.len().min(wanted);
        let mut between = Vec::new();
        if apart < LEAST_SHIFTS as usize {
            let next_to_next: Vec<f64> =
                left.windows(2).filter(|w| w[1] - w[0] == 1.0).map(|w| w[0]).collect();
            let parts = (wanted - apart).div_ceil(next_to_next.len().max(1)) + 1;
            let within = |&cell: &f64| (1..parts).map(move |k| cell + k as f64 / parts as f64);
            between.extend(next_to_next.iter().flat_map(within));
        }
        let mut dice = SEED;
        let mut draw = |from: &mut Vec<f64>, most: usize| -> Vec<f64> {
            let count = from.len().min(most);
            (0..count).map(|_| from.swap_remove((next(&mut dice) % from.len() as u64) as usize)).collect()
        };
        let mut shifts = draw(&mut left, wanted);
        shifts.extend(draw(&mut between, wanted - apart));
        (shifts, apart as u32)
    }
}

/// Seconds from each episode's start to the next one's.
fn gaps(episodes: &[Span]) -> Vec<f64> {
    episodes.windows(2).map(|w| w[1].start.since(w[0].start).as_secs_f64()).collect()
}

/// The median of those.
fn rhythm(episodes: &[Span]) -> f64 {
    median(gaps(episodes)).unwrap_or(0.0)
}

/// Seconds from episode to episode, where they come regularly.
fn period(episodes: &[Span]) -> Option<f64> {
    let (gaps, usual) = (gaps(episodes), rhythm(episodes));
    let spread = median(gaps.iter().map(|g| (g - usual).abs()).collect())?;
    let near = gaps.iter().filter(|&&g| (g - usual).abs() <= PERIODIC * usual);
    let (sum, count) = near.fold((0.0, 0.0), |(s, n), g| (s + g, n + 1.0));
    // The mean of the regular gaps: over ten periods an error of the median would add up.
    (usual > 0.0 && spread <= PERIODIC * usual && count > 0.0).then(|| sum / count)
}

/// Chance of `k` or more successes in `n` draws that each succeed with `p`: the binomial law's tail.
fn at_least(k: usize, n: usize, p: f64) -> f64 {
    let mut term = (1.0 - p).powi(n as i32);
    let mut below = 0.0;
    for i in 0..k {
        below += term;
        term *= (n - i) as f64 / (i + 1) as f64 * p / (1.0 - p).max(1e-12);
    }
    (1.0 - below).max(0.0)
}

/// SplitMix64: small, seeded, the same everywhere.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::at_least;

    #[test]
    fn the_tail_of_the_binomial_law() {
        assert!((at_least(1, 2, 0.5) - 0.75).abs() < 1e-12);
        assert!((at_least(5, 5, 0.2) - 0.2_f64.powi(5)).abs() < 1e-12);
        assert_eq!(at_least(0, 7, 0.3), 1.0);
    }
}
