//! Comparison judged by recorded runs: 27 of a service and 27 of the same service with a tenth more to do, in turn, on two cores that
//! eight compilers were busy on.
//!
//! `compared/README.md` says how they were made. The first seven of each teach the noise and are used for nothing else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use dynamometer_reports as reports;
use rand::seq::IndexedRandom as _;
use rand_pcg::Lcg64Xsh32;
use reports::Summary;
use reports::compare::{Sample, Verdict, compare};
use timeline::recording::Reader;

/// Runs that teach the noise.
const TAUGHT: usize = 7;
/// Repeats on each side, as the words of a comparison advise.
const REPEATS: usize = 5;
/// Comparisons of five against five.
const DRAWN: usize = 200;

/// All runs of a side, in the order in which they were made.
fn runs(side: &str) -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compared").join(side);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let sample = |file: &std::path::PathBuf| {
        let loaded = Reader::open(file).and_then(|r| r.load(file, |_, _| {})).unwrap();
        let summary = Summary::new(&loaded.meta, &loaded.timeline, &[], loaded.end.as_ref());
        Sample::new(&summary, &loaded.meta, &loaded.timeline, &[])
    };
    files.iter().map(sample).collect()
}

/// How many of `n` comparisons come to `verdict`, and what the others came to.
fn share(verdict: Verdict, n: usize, mut one: impl FnMut(usize) -> Verdict) -> (f64, Vec<Verdict>) {
    let others: Vec<Verdict> = (0..n).map(&mut one).filter(|v| *v != verdict).collect();
    ((n - others.len()) as f64 / n as f64, others)
}

#[test]
fn two_runs_of_one_build_are_the_same_and_a_tenth_more_is_found() {
    let (base, slow) = (runs("base"), runs("slow"));
    let (taught, base) = base.split_at(TAUGHT);
    let slow = &slow[TAUGHT..];
    assert!(base.len() >= 20 && slow.len() >= 20);

    let pairs: Vec<(usize, usize)> = (0..base.len()).flat_map(|a| (0..a).map(move |b| (b, a))).collect();
    let (same, others) = share(Verdict::Same, pairs.len(), |i| {
        let (a, b) = pairs[i];
        compare(&base[a..=a], &base[b..=b], taught).unwrap().verdict
    });
    eprintln!("same: {same:.3} of {} pairs", pairs.len());
    assert!(same >= 0.95, "{same} of {} pairs, else {others:?}", pairs.len());

    let mut dice = Lcg64Xsh32::new(11, 1);
    let mut draw = |side: &[Sample]| -> Vec<Sample> { side.sample(&mut dice, REPEATS).cloned().collect() };
    let (found, others) =
        share(Verdict::Worse, DRAWN, |_| compare(&draw(base), &draw(slow), taught).unwrap().verdict);
    eprintln!("found: {found:.3} of {DRAWN}");
    assert!(found >= 0.90, "{found} of {DRAWN}, else {others:?}");

    // And five of one build against five others of it are not called different.
    let (same, others) = share(Verdict::Same, DRAWN, |_| {
        let both: Vec<Sample> = base.sample(&mut dice, 2 * REPEATS).cloned().collect();
        compare(&both[..REPEATS], &both[REPEATS..], taught).unwrap().verdict
    });
    eprintln!("same: {same:.3} of {DRAWN} with repeats");
    assert!(same >= 0.95, "{same} of {DRAWN}, else {others:?}");
}
