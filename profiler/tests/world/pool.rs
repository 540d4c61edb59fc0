//! The pool of a made-up process: a real queue, arrival by arrival, in an open or a closed loop.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::Dice;

/// One process's pool, with times in ms.
pub struct Pool {
    pub waiting: VecDeque<(f64, f64)>,
    /// Ends of holds, soonest first (in whole microseconds, so that they can be ordered), and holds.
    pub out: BinaryHeap<Reverse<(u64, u64)>>,
    pub waits: Vec<f64>,
    pub holds: Vec<f64>,
    /// Ends of holds since they were last asked for, ms: sessions that go back to thinking.
    done: Vec<f64>,
    /// Closed loop: when sessions come back, us.
    pub thinking: BinaryHeap<Reverse<u64>>,
}

impl Pool {
    pub fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            out: BinaryHeap::new(),
            waits: Vec::new(),
            holds: Vec::new(),
            done: Vec::new(),
            thinking: BinaryHeap::new(),
        }
    }

    /// Runs a closed loop in steps of a millisecond, short beside hold and think time.
    pub fn closed(
        &mut self,
        from_ms: u64,
        to_ms: u64,
        think_ms: f64,
        hold_ms: f64,
        capacity: usize,
        dice: &mut Dice,
    ) {
        for t in from_ms..to_ms {
            while self.thinking.peek().is_some_and(|at| at.0 <= t * 1_000) {
                let at = self.thinking.pop().expect("just looked").0;
                self.arrive(at as f64 / 1e3, dice.exp(hold_ms).max(0.2), capacity);
            }
            self.advance(t as f64, capacity);
            for end in std::mem::take(&mut self.done) {
                self.thinking.push(Reverse(((end + dice.exp(think_ms)) * 1e3) as u64));
            }
        }
    }

    pub fn advance(&mut self, until_ms: f64, capacity: usize) {
        while let Some(&Reverse((end_us, hold_us))) = self.out.peek() {
            let end = end_us as f64 / 1e3;
            if end > until_ms {
                break;
            }
            self.out.pop();
            self.holds.push(hold_us as f64);
            self.done.push(end);
            self.admit(end, capacity);
        }
        self.admit(until_ms, capacity);
    }

    fn admit(&mut self, now_ms: f64, capacity: usize) {
        while self.out.len() < capacity && !self.waiting.is_empty() {
            let (came, hold) = self.waiting.pop_front().expect("just looked");
            let start = now_ms.max(came);
            self.waits.push((start - came) * 1e3 + 1.0);
            self.out.push(Reverse((((start + hold) * 1e3) as u64, (hold * 1e3) as u64)));
        }
    }

    pub fn arrive(&mut self, at_ms: f64, hold_ms: f64, capacity: usize) {
        self.advance(at_ms, capacity);
        self.waiting.push_back((at_ms, hold_ms));
        self.admit(at_ms, capacity);
    }
}
