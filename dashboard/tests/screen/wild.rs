//! Snapshots that nobody would make on purpose: any number, any text, any order, from a seed.

use timeline::event::{Event, kinds};
use timeline::facts::{LoadModel, PhaseFacts};
use timeline::finding::Evidence;
use timeline::lane::{Quality, names};
use timeline::snapshot::{
    CacheView, Cell, Curves, GateView, HeatColumn, KindView, LaneView, LoadView, LogLine, Percentiles,
    PoolView, ProcessView, RunState, RunView, Snapshot, SourceView, StepView, VERSION,
};
use timeline::{Finding, FindingKind, RunTime, Severity, Shape, Span, Status, Unit};

use crate::fixture::LANES;

/// A stream of numbers for snapshots that nobody would make on purpose.
pub struct Wild(pub u64);

impl Wild {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 17 ^ self.0 << 9
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn float(&mut self) -> f64 {
        match self.below(12) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => -1.0,
            4 => 0.0,
            5 => f64::MAX,
            6 => f64::MIN_POSITIVE,
            _ => self.below(1 << 40) as f64 / 7.0,
        }
    }

    fn maybe(&mut self) -> Option<f64> {
        (self.below(4) > 0).then(|| self.float())
    }

    fn whole(&mut self) -> u64 {
        if self.below(5) == 0 { u64::MAX } else { self.below(1 << 30) }
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 12] = [
            "a",
            "checkout ",
            "\u{1b}[31m",
            "\u{202e}",
            "漢字",
            "👩‍👩‍👧",
            "\n",
            "\r",
            "\u{0}",
            "é",
            "\u{200b}",
            "\u{9b}2J",
        ];
        (0..self.below(9)).map(|_| PARTS[self.below(12) as usize]).collect()
    }

    fn time(&mut self) -> RunTime {
        RunTime(self.whole())
    }

    fn list<T>(&mut self, most: u64, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most)).map(|_| one(self)).collect()
    }

    fn percentiles(&mut self) -> Percentiles {
        Percentiles {
            count: self.whole(),
            p50: self.float(),
            p90: self.float(),
            p99: self.float(),
            p999: self.float(),
            max: self.float(),
        }
    }

    fn lane(&mut self) -> LaneView {
        let names: Vec<&str> =
            LANES.iter().map(|l| l.0).chain(["pool..in-use", "cache.\u{1b}.loads"]).collect();
        let units = [
            Unit::Count,
            Unit::PerSecond,
            Unit::Bytes,
            Unit::BytesPerSecond,
            Unit::Ns,
            Unit::Ratio,
            Unit::Cores,
        ];
        LaneView {
            name: names[self.below(names.len() as u64) as usize].to_owned(),
            unit: units[self.below(7) as usize],
            shape: [Shape::Level, Shape::Rate, Shape::Histogram][self.below(3) as usize],
            quality: [Quality::Exact, Quality::Sampled, Quality::Inferred][self.below(3) as usize],
            cells: self
                .list(90, |w| {
                    (w.below(3) > 0).then(|| Cell { min: w.float(), max: w.float(), last: w.float() })
                })
                .into(),
            last: self.maybe(),
            age_ns: self.whole(),
        }
    }

    fn finding(&mut self) -> Finding {
        let kinds = FindingKind::ALL;
        let one = |w: &mut Self| Evidence {
            text: w.text(),
            lane: w.text(),
            span: Span { start: w.time(), end: w.time() },
            value: w.float(),
            unit: Unit::Ns,
        };
        let statuses =
            [Status::CannotTell, Status::NotSeen, Status::Possible, Status::Likely, Status::Confirmed];
        Finding {
            id: format!("F{}", self.below(4)),
            kind: kinds[self.below(kinds.len() as u64) as usize],
            subject: self.text(),
            severity: [Severity::Info, Severity::Warning, Severity::Critical][self.below(3) as usize],
            status: statuses[self.below(5) as usize],
            onset: self.time(),
            found_at: self.time(),
            ended: (self.below(3) == 0).then(|| self.time()),
            last: (self.below(3) == 0).then(|| self.time()),
            claim: self.text(),
            evidence: self.list(4, one),
            contradicting: self.list(3, one),
            advice: self.list(4, Self::text),
            remedies: Vec::new(),
            // Circles among causes are wanted here.
            caused_by: (self.below(2) == 0).then(|| format!("F{}", self.below(4))),
            caused_by_reason: (self.below(2) == 0).then(|| self.text()),
            missing: self.list(3, Self::text),
        }
    }

    fn event(&mut self) -> Event {
        let known =
            [kinds::PAUSE_HICCUP, kinds::CACHE_REFRESH, kinds::AMENDMENT, kinds::HALT, "pause.\u{1b}"];
        Event {
            kind: known[self.below(known.len() as u64) as usize].to_owned(),
            instance: self.text(),
            start: self.time(),
            end: self.time(),
            labels: self.list(4, |w| (w.text(), w.text())),
            value: self.float(),
            others: self.whole(),
        }
    }

    fn load(&mut self) -> LoadView {
        LoadView {
            offered: self.float(),
            achieved: self.float(),
            completed: self.float(),
            late: self.whole(),
            dropped: self.whole(),
            open_sessions: self.whole(),
            open_connections: self.whole(),
            requests: self.whole(),
            errors: self.whole(),
            lateness_p99: self.maybe(),
            factor: self.maybe(),
            halted_since: (self.below(2) == 0).then(|| self.time()),
            age_ns: Some(self.whole()),
        }
    }

    fn run(&mut self) -> RunView {
        let states = [
            RunState::Starting,
            RunState::Running,
            RunState::Draining,
            RunState::Watching,
            RunState::Replaying,
            RunState::Done,
        ];
        RunView {
            run_id: self.text(),
            scenario: self.text(),
            target: self.text(),
            seed: self.whole(),
            state: states[self.below(6) as usize],
            phase: (self.below(2) == 0).then(|| (self.text(), self.whole() as usize, self.whole() as usize)),
            planned: (self.below(2) == 0).then(|| self.time()),
        }
    }

    fn phase(&mut self) -> PhaseFacts {
        let models = [LoadModel::Sessions, LoadModel::Arrivals, LoadModel::Requests, LoadModel::Watch];
        PhaseFacts {
            name: self.text(),
            span: Span { start: self.time(), end: self.time() },
            warmup: self.below(2) == 0,
            model: models[self.below(4) as usize],
            from: self.float(),
            to: self.float(),
        }
    }

    fn pool(&mut self) -> PoolView {
        PoolView {
            name: if self.below(2) == 0 { "db".to_owned() } else { self.text() },
            capacity: self.maybe(),
            in_use: self.maybe(),
            waiters: self.maybe(),
            wait: self.percentiles(),
            hold: self.percentiles(),
            age_ns: self.whole(),
        }
    }

    fn cache(&mut self) -> CacheView {
        CacheView {
            name: if self.below(2) == 0 { "product".to_owned() } else { self.text() },
            hit_ratio: self.maybe(),
            hits: self.maybe(),
            misses: self.maybe(),
            loads: self.maybe(),
            duplicate_loads: self.maybe(),
            loads_in_flight: self.maybe(),
            worst_key: (self.below(2) == 0).then(|| (self.text(), self.float())),
            age_ns: self.whole(),
        }
    }

    /// Any snapshot at all.
    pub fn snapshot(&mut self) -> Snapshot {
        Snapshot {
            version: VERSION,
            seq: self.whole(),
            at: self.time(),
            run: self.run(),
            load: self.load(),
            response: self.percentiles(),
            service: self.percentiles(),
            recent: self.percentiles(),
            curves: Curves { response: self.list(60, Self::float), service: self.list(60, Self::float) },
            phases: self.list(9, Self::phase),
            kinds: self.list(9, |w| KindView {
                name: w.text(),
                open: w.whole(),
                started: w.whole(),
                ended: w.whole(),
            }),
            steps: self.list(30, |w| StepView {
                name: w.text(),
                errors: w.whole(),
                untimed: w.whole(),
                response: w.percentiles(),
                service: w.percentiles(),
            }),
            errors: self.list(20, |w| (w.text(), w.whole())),
            first_column: self.whole(),
            heat: self.list(120, |w| HeatColumn {
                rows: w.list(50, |w| w.below(1 << 32) as u32),
                max: w.float(),
                p99: w.float(),
                p50: w.float(),
            }),
            lanes: self.list(40, Self::lane),
            pools: self.list(5, Self::pool),
            caches: self.list(5, Self::cache),
            events: self.list(30, Self::event),
            findings: self.list(9, Self::finding),
            gates: self.list(5, |w| GateView {
                that: w.text(),
                holds: [None, Some(true), Some(false)][w.below(3) as usize],
                figure: w.text(),
                line: w.maybe().map(|limit| (names::RESPONSE.to_owned(), limit)),
            }),
            processes: self.list(6, |w| ProcessView {
                name: w.text(),
                cpu: w.maybe(),
                resident: w.maybe(),
                descriptors: w.maybe(),
                age_ns: w.whole(),
            }),
            sources: self.list(4, |w| SourceView {
                name: w.text(),
                state: w.text(),
                age_ns: (w.below(2) == 0).then(|| w.whole()),
                ageless: w.below(2) == 0,
            }),
            log: self.list(60, |w| LogLine { at: w.time(), text: w.text(), source: None }),
            dropped_entries: self.whole(),
        }
    }
}
