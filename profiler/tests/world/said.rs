//! What a diagnosis says of a made-up run, as tests ask it.

use dynamometer_profiler::Diagnosis;
use timeline::{Finding, FindingKind, Status};

use super::World;

pub fn find(d: &Diagnosis, kind: FindingKind) -> &Finding {
    d.findings()
        .iter()
        .find(|f| f.kind == kind)
        .unwrap_or_else(|| panic!("{} is not among {:#?}", kind.name(), d.findings()))
}

pub fn kinds_of(d: &Diagnosis) -> Vec<FindingKind> {
    d.findings().iter().map(|f| f.kind).collect()
}

pub fn likely(f: &Finding) -> bool {
    f.status >= Status::Likely
}

/// The story as people read it.
pub fn told(d: &Diagnosis) -> String {
    let mut text = String::new();
    for f in d.findings() {
        text += &format!(
            "{} {} {} {} {}\n  {}\n",
            f.id,
            f.kind.name(),
            f.subject,
            f.severity.name(),
            f.status.name(),
            f.claim
        );
        if let (Some(cause), Some(reason)) = (&f.caused_by, &f.caused_by_reason) {
            text += &format!("  caused by {cause}: {reason}\n");
        }
        for e in &f.evidence {
            text += &format!("  + {} [{}]\n", e.text, e.lane);
        }
        for e in &f.contradicting {
            text += &format!("  - {} [{}]\n", e.text, e.lane);
        }
        for a in &f.advice {
            text += &format!("  > {a}\n");
        }
    }
    text
}

/// Claim and advice.
pub fn claim_and_advice(f: &Finding) -> String {
    format!("{}\n- {}", f.claim, f.advice.join("\n- "))
}

/// Seconds from `onset_s` until it was found.
pub fn took(f: &Finding, onset_s: f64) -> f64 {
    f.found_at.as_secs_f64() - onset_s
}

/// How it stands with a kind, and in words.
pub fn state(d: &Diagnosis, kind: FindingKind) -> (Status, String) {
    let (_, status, text) = d.states().into_iter().find(|s| s.0 == kind).expect("each detector has a state");
    (status, text)
}

/// Nothing can be told of `kind`, for this reason: a lane that is missing, say.
pub fn cannot_tell(d: &Diagnosis, kind: FindingKind, why: &str) {
    let state = state(d, kind);
    assert!(state.0 == Status::CannotTell && state.1.contains(why), "{}: {state:?}", kind.name());
}

/// In `healthy` the kind is not seen; without the lane that cannot be told.
pub fn needs(healthy: World, kind: FindingKind, lane: &str) {
    assert_eq!(state(&healthy.diagnose(), kind).0, Status::NotSeen, "{}", kind.name());
    let status = state(&healthy.without(lane).diagnose(), kind).0;
    assert_eq!(status, Status::CannotTell, "{} without {lane}", kind.name());
}
