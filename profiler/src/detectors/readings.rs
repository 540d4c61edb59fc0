//! How often a pool is told, and what that makes of windows: at every tick of an agent, or now and then by a page or an exporter.
//!
//! Owns the two ways to count: cells of 100 ms on a grid of time, or the readings themselves. What a saturated cell is, and how many
//! are wanted, is `queueing`'s and each detector's own.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::{Series, Timeline};

use crate::window;

/// Intervals are told apart on this grid: the tick of sources at 10 Hz.
pub const CELL: Duration = Duration::from_millis(100);
/// What is told more seldom than this is looked at reading by reading: fifteen cells, half of three seconds, do not fit into them.
const SELDOM: Duration = Duration::from_millis(200);
/// Ticks may be late by so much before their own lengths count.
const TICKS_LATE: f64 = 1.5;
/// Windows do not get longer than for this: OTLP is sent each minute unless told otherwise.
const SLOWEST: Duration = Duration::from_secs(60);
/// Readings in a window at least, and those that must be seen. Few as they are, a rule of what lasts wants all of them: a pool of 8 at
/// 70% load (0.19) has six in a row once in 20,000.
const READINGS: u32 = 6;
pub const LEAST_READINGS: usize = 5;
/// Values of levels are carried for so long; ...
const CARRY: Duration = Duration::from_millis(350);
/// ... of what is told seldom until the next reading is overdue, in readings.
const READING_CARRY: f64 = 1.5;

/// The cell of the grid of time in which `t` lies.
pub fn cell(t: RunTime) -> u64 {
    t.0 / CELL.as_nanos() as u64
}

/// How often a pool is told.
#[derive(Clone, Copy)]
pub struct Grid {
    pace: Duration,
}

impl Grid {
    /// As lanes `name` are told at `at`.
    pub fn of(timeline: &Timeline, name: &str, at: RunTime) -> Self {
        Self { pace: window::pace(timeline, name, at).unwrap_or(CELL).min(SLOWEST) }
    }

    /// Are its intervals ticks, all of one length?
    pub fn is_ticks(self) -> bool {
        self.pace <= CELL.mul_f64(TICKS_LATE)
    }

    /// Is it told reading by reading, rather than at every tick?
    pub fn seldom(self) -> bool {
        self.pace > SELDOM
    }

    /// What one cell stands for.
    pub fn length(self) -> Duration {
        if self.seldom() { self.pace } else { CELL }
    }

    /// The cell in which `t` lies: on the grid of time, or by the readings of `lane` up to it.
    pub fn cell(self, lane: &Series, t: RunTime) -> u64 {
        if self.seldom() { lane.points.partition_point(|p| p.0 <= t) as u64 } else { cell(t) }
    }

    /// Ticks that a cell is as long as.
    pub fn ticks(self) -> u64 {
        self.length().div_duration_f64(CELL).round() as u64
    }

    /// A window of `seconds`, or of some readings where those take longer.
    pub fn seconds(self, seconds: f64) -> f64 {
        if self.seldom() { seconds.max((self.pace * READINGS).as_secs_f64()) } else { seconds }
    }

    /// How long a level is good.
    pub fn carry(self) -> Duration {
        if self.seldom() { self.pace.mul_f64(READING_CARRY) } else { CARRY }
    }
}
