//! What to do about a saturated pool: how many connections are enough, and what to look at before there are more.
//!
//! Owns the advice and the setting that goes with it. What the load asks for is `demand`'s to say.

use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{Remedy, Unit};

use super::demand::Demand;
use super::{Seen, lane};
use crate::detectors::{plural, queueing};

/// Do the signs say that the CPU is short? More connections then only share what there is.
fn cpu_is_short(against: &[Evidence]) -> bool {
    against.iter().any(|e| e.lane == names::HOST_CPU)
}

/// How many connections are enough in each process, as a setting.
pub fn remedies(
    pool: &str,
    seen: &Seen,
    demand: Option<&Demand>,
    against: &[Evidence],
    instances: usize,
) -> Vec<Remedy> {
    let each = |d: &Demand| queueing::each(queueing::enough(d.busy(), seen.capacity), instances);
    let demand = demand.filter(|_| !cpu_is_short(against));
    demand.map(|d| Remedy::number(lane(pool, "capacity"), each(d))).into_iter().collect()
}

/// The same in words, and what is better done before.
pub fn lines(
    pool: &str,
    seen: &Seen,
    demand: Option<&Demand>,
    against: &[Evidence],
    instances: usize,
) -> Vec<String> {
    if cpu_is_short(against) {
        return vec![
            "Find what takes the CPU (a profile names the function) and make it cheaper, or give the target more cores or less load.".to_owned(),
            format!(
                "Leave pool {pool} at {} until then: with no CPU left, more connections only move the queue.",
                plural(seen.capacity, "connection")
            ),
        ];
    }
    let mut list = Vec::new();
    if against.iter().any(|e| e.lane == lane(pool, "hold")) {
        list.push(
            "First look at what connections are held for: each is now held for longer than before."
                .to_owned(),
        );
    }
    let Some(d) = demand else {
        list.push(format!(
            "Raise the capacity of pool {pool} until nobody waits, or hold connections for a shorter time."
        ));
        return list;
    };
    if d.busy() <= seen.capacity {
        list.push(format!(
            "On average {:.1} of {} connections are needed: smooth what asks for them in bursts before adding any.",
            d.busy(),
            Unit::Count.show(seen.capacity)
        ));
    }
    let enough = queueing::enough(d.busy(), seen.capacity);
    let each = queueing::in_each(enough, instances);
    list.push(format!(
        "Raise the capacity of pool {pool} from {} to {enough}{each}: {:.1} busy on average, and twice its root more so that fewer than 3 in 100 wait.",
        Unit::Count.show(seen.capacity),
        d.busy()
    ));
    if d.rate > 0.0 && d.busy() > seen.capacity {
        list.push(format!(
            "Or hold a connection for at most {} instead of {}, and {} connections are enough.",
            Unit::Ns.show(seen.capacity / d.rate * 1e9 * 0.8),
            Unit::Ns.show(d.hold),
            Unit::Count.show(seen.capacity)
        ));
    }
    list
}
