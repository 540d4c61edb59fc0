//! What to do about a saturated pool: how many connections are enough, and what to look at before there are more.
//!
//! Owns the advice and the setting that goes with it. What the load asks for is `demand`'s to say.

use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{Remedy, Unit};

use super::demand::Demand;
use super::{Full, lane};
use crate::detectors::queueing::Known;
use crate::detectors::{ALONE, plural};

/// Do the signs say that the CPU is short? More connections then only share what there is.
fn cpu_is_short(against: &[Evidence]) -> bool {
    against.iter().any(|e| e.lane == names::HOST_CPU)
}

/// How many connections are enough in each process, as a setting.
pub fn remedies(pool: &str, full: &Full, demand: Option<&Demand>, against: &[Evidence]) -> Vec<Remedy> {
    let demand = demand.filter(|_| !cpu_is_short(against));
    let each = demand.map(|d| d.wanted.each(full.parts.len()));
    each.map(|n| Remedy::number(lane(pool, "capacity"), n)).into_iter().collect()
}

/// The same in words, and what is better done before. A law that fails says that connections are not where it takes them to be.
pub fn lines(
    pool: &str,
    full: &Full,
    demand: Option<&Demand>,
    against: &[Evidence],
    law_fails: bool,
) -> Vec<String> {
    let seen = &full.seen;
    if cpu_is_short(against) {
        return vec![
            "Find what takes the CPU (a profile names the function) and make it cheaper, or give the target more cores or less load.".to_owned(),
            format!(
                "Leave pool {pool} at {}{} until then: with no CPU left, more connections only move the queue.",
                plural(seen.capacity, "connection"),
                full.whose
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
    list.extend(sizes(pool, full, demand, law_fails));
    // What fills it is the cause's to cure, where there is one.
    list.into_iter().map(|line| ALONE.to_owned() + &line).collect()
}

fn sizes(pool: &str, full: &Full, demand: Option<&Demand>, law_fails: bool) -> Vec<String> {
    let seen = &full.seen;
    if law_fails {
        return vec![format!(
            "Find out who keeps the connections of pool {pool}, and for how long: what was served does not fit the holds that ended, so how many would be enough cannot be told."
        )];
    }
    let Some(Demand { wanted, within }) = demand else {
        return vec![format!(
            "Raise the capacity of pool {pool} until nobody waits, or hold connections for a shorter time."
        )];
    };
    let mut list = Vec::new();
    let (busy, is_known) = (wanted.busy(), wanted.known != Known::AtLeast);
    if is_known && busy <= seen.capacity {
        list.push(format!(
            "On average {busy:.1} of {} connections{} are needed: smooth what asks for them in bursts before adding any.",
            Unit::Count.show(seen.capacity),
            full.whose
        ));
    }
    list.push(format!(
        "Raise the capacity of pool {pool} {}.",
        wanted.advice(full.parts.len(), !full.whose.is_empty(), Some(*within))
    ));
    if is_known && wanted.rate > 0.0 && busy > seen.capacity {
        list.push(format!(
            "Or hold a connection for at most {} instead of {}, and {} connections are enough.",
            Unit::Ns.show(seen.capacity / wanted.rate * 1e9 * 0.8),
            Unit::Ns.show(wanted.time),
            Unit::Count.show(seen.capacity)
        ));
    }
    list
}
