//! Who answers for a page: one process, or several in turn, so that its counters go to and fro between theirs.
//!
//! Owns the two signs of several. The process that answers began when one did that had been left for another, and a counter fell
//! meanwhile. Or, of the counters that have moved of late, half at least fell, were back at their old height and fell again within a few
//! readings: one that was started again counts up from zero, and takes for its old height as long as it took before. What becomes of
//! the page's lanes is `scrape`'s business.

/// The metric that tells when the process began, whatever stands in front of it.
pub(super) const BEGAN: &str = "process_start_time_seconds";
/// Processes that began so soon after one another are taken for one: some libraries round to the second, and for others the kernel's time
/// of boot, on which theirs is built, moves by one.
const SAME_S: f64 = 2.0;
/// Most processes that are told apart. A page of more goes to and fro between these, too.
const MAX_PROCESSES: usize = 64;
/// Readings within which a counter must fall again. Of eight processes the one that counts highest answers once in eight.
const FEW: u64 = 10;

/// How a counter has gone of late: numbers of readings, the first is 1.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Course {
    moved: u64,
    fell: u64,
    /// Where it fell from, and whether it is back there.
    height: f64,
    back: bool,
    /// When it fell again.
    swung: u64,
}

/// What is known of who answers.
#[derive(Debug, Default)]
pub(super) struct Several {
    reading: u64,
    /// The first reading whose falls count.
    since: u64,
    /// When the processes began that have answered, seconds, and which of them answered last.
    begun: Vec<f64>,
    latest: Option<usize>,
    /// A counter fell when there had been more than one of them.
    fallen: bool,
    noticed: bool,
    /// Of this reading: when the process began, and whether a counter fell, or fell again.
    began: Option<f64>,
    fell: bool,
    swung: bool,
}

impl Several {
    pub fn begin(&mut self) {
        self.reading += 1;
        (self.began, self.fell, self.swung) = (None, false, false);
    }

    /// The process that answers this reading began then. Of more that a page tells of, the first counts.
    pub fn began(&mut self, seconds: f64) {
        if seconds.is_finite() {
            self.began.get_or_insert(seconds);
        }
    }

    /// A counter stands at `now`, and stood at `before`.
    pub fn step(&mut self, course: &mut Course, before: f64, now: f64) {
        if now != before {
            course.moved = self.reading;
        }
        let lately = self.lately(course.fell);
        if now < before {
            if lately && course.back {
                course.swung = self.reading;
                self.swung = true;
            }
            course.height = if lately { course.height.max(before) } else { before };
            course.back = false;
            course.fell = self.reading;
            self.fell = true;
        } else if lately && now >= course.height {
            course.back = true;
        }
    }

    /// Nobody answered: whoever does next may have been started since, and may not last.
    pub fn interrupted(&mut self) {
        self.since = self.reading + 1;
    }

    /// The reading is over; `courses` are those of all counters. Do several answer?
    pub fn end<'a>(&mut self, courses: impl IntoIterator<Item = &'a Course>) -> bool {
        let returned = self.returned();
        self.fallen |= self.fell && self.begun.len() > 1;
        self.noticed |= returned && self.fallen;
        if self.swung && !self.noticed {
            let (mut moving, mut swinging) = (0_u32, 0_u32);
            for course in courses {
                moving += u32::from(self.lately(course.moved));
                swinging += u32::from(self.lately(course.swung));
            }
            // One that falls and rises all the time among others that do not is no counter.
            self.noticed = swinging > 0 && swinging * 2 >= moving;
        }
        self.noticed
    }

    /// Was it noticed?
    pub fn noticed(&self) -> bool {
        self.noticed
    }

    /// Does one answer again that had been left for another?
    fn returned(&mut self) -> bool {
        let Some(began) = self.began else { return false };
        let known = self.begun.iter().position(|b| (b - began).abs() < SAME_S);
        let before = self.latest;
        self.latest = known;
        if known.is_some() {
            return before != known;
        }
        if !self.begun.is_empty() {
            // It may have been started since the last reading: then the counters that fell were reset.
            self.interrupted();
        }
        if self.begun.len() < MAX_PROCESSES {
            self.latest = Some(self.begun.len());
            self.begun.push(began);
        }
        false
    }

    fn lately(&self, reading: u64) -> bool {
        reading > 0 && reading >= self.since && self.reading - reading <= FEW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In which of these readings several are noticed. Each has its counters, and when the process began; with `outages`, the page was out
    /// of reach where the first counter falls.
    fn noticed<const N: usize>(
        readings: impl IntoIterator<Item = ([f64; N], Option<f64>)>,
        outages: bool,
    ) -> Option<u64> {
        let mut several = Several::default();
        let mut courses = [Course::default(); N];
        let mut last: Option<[f64; N]> = None;
        for (number, (counters, began)) in (1..).zip(readings) {
            let before = last.replace(counters).unwrap_or(counters);
            if outages && counters[0] < before[0] {
                several.interrupted();
            }
            several.begin();
            if let Some(began) = began {
                several.began(began);
            }
            for (course, (before, now)) in courses.iter_mut().zip(before.into_iter().zip(counters)) {
                several.step(course, before, now);
            }
            if several.end(&courses) {
                return Some(number);
            }
        }
        None
    }

    /// Of two processes in turn, the first began in second 100.
    fn in_turn(other_began: Option<f64>) -> impl Iterator<Item = ([f64; 2], Option<f64>)> {
        (0..40).map(move |i| {
            let so_far = f64::from(i);
            let first = ([5_000.0 + so_far, 10.0 + so_far], other_began.map(|_| 100.0));
            let other = ([4_000.0 + so_far, 300.0 + so_far], other_began);
            if i % 2 == 0 { first } else { other }
        })
    }

    #[test]
    fn processes_in_turn_are_noticed_by_when_they_began_or_by_how_their_counters_go() {
        assert_eq!(noticed(in_turn(Some(200.0)), false), Some(3));
        // Forked in the same second, or it is not told when.
        assert_eq!(noticed(in_turn(Some(101.0)), false), Some(4));
        assert_eq!(noticed(in_turn(None), false), Some(4));
        // Eight, of which each answers now and then.
        let order = [3, 0, 6, 1, 7, 5, 2, 4, 0, 7, 1, 3, 6, 7, 2, 5, 4, 7, 0, 6];
        let eight = order.into_iter().map(|process| ([f64::from(process) * 100.0], None));
        assert!(noticed(eight, false).is_some());
    }

    #[test]
    fn a_process_that_is_started_again_is_one() {
        // It dies after twelve readings, each time.
        let again = (0..40).map(|i| ([f64::from(10 * (i % 12))], None));
        assert_eq!(noticed(again, false), None);
        // Over and over, each time at its old height at once: it begins anew each time, or is out of reach before it does.
        let often = (0..40).map(|i| ([if i % 2 == 0 { 50.0 + f64::from(i) } else { 5.0 }], i));
        let told = often.clone().map(|(counters, i)| (counters, Some(100.0 * f64::from((i + 1) / 2))));
        assert_eq!(noticed(told, false), None);
        let untold = often.map(|(counters, _)| (counters, None));
        assert_eq!(noticed(untold.clone(), true), None);
        assert_eq!(noticed(untold, false), Some(4), "nothing tells it apart");
    }

    #[test]
    fn what_is_no_counter_or_a_clock_that_is_set_makes_no_second_process() {
        let gauge = (0..40).map(|i| {
            let n = f64::from(i);
            ([n, 2.0 * n, 3.0 * n, f64::from(i % 2)], Some(100.0 + f64::from(i % 2)))
        });
        assert_eq!(noticed(gauge, false), None);
        // Two that count the same from outside, as exporters of one server do: there is nothing wrong with their counters.
        let replicas = (0..40).map(|i| ([f64::from(i)], Some(if i % 2 == 0 { 100.0 } else { 200.0 })));
        assert_eq!(noticed(replicas, false), None);
    }
}
