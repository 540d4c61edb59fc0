//! The JVM source against a real JVM, and against files that are none.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod watched;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dynamometer_profiler::sources::{SourceEvent, attach_jvm};
use timeline::event::kinds;
use timeline::lane::names;
use timeline::{MonoNs, Quality};

use watched::{Kept, own_port, soon};

const GRACE: Duration = Duration::from_secs(10);

/// A JVM that churns, for as long as the test lasts.
struct Jvm(Child);

impl Jvm {
    fn start(collector: &str) -> Self {
        Self::with(collector, &[])
    }

    /// One that listens on `port`, as a service that can be started again.
    fn serving(port: u16) -> Self {
        Self::with("-XX:+UseSerialGC", &[port.to_string()])
    }

    fn with(collector: &str, arguments: &[String]) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jvm/Churn.java");
        let mut command = Command::new("java");
        command.args([collector, "-Xmx96m"]).arg(program).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn();
        let mut child = child.unwrap_or_else(|e| panic!("{command:?}: {e}; ./test installs what is needed"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
        Self(child)
    }

    fn collect(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"g").unwrap();
    }
}

impl Drop for Jvm {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn events(kept: &Kept, kind: &str) -> Vec<SourceEvent> {
    kept.0.lock().unwrap().events.iter().filter(|e| e.kind == kind).cloned().collect()
}

#[test]
fn a_real_jvm_shows_generations_and_pauses_without_agent_and_flag() {
    for collector in ["-XX:+UseG1GC", "-XX:+UseSerialGC", "-XX:+UseParallelGC"] {
        let mut jvm = Jvm::start(collector);
        let kept = Kept::default();
        let began = MonoNs::now();
        let attached = attach_jvm(jvm.0.id(), Box::new(kept.clone())).unwrap();
        assert!(attached.about().contains("heap by generation"), "{}", attached.about());
        let me = format!("pid-{}", jvm.0.id());
        soon("a minor pause", || !events(&kept, kinds::PAUSE_MINOR).is_empty());
        let asked = MonoNs::now();
        jvm.collect();
        // It may have come to others by itself. Times are good to some milliseconds only.
        let asked_for = |e: &SourceEvent| e.start < e.end && e.end.0 + 200_000_000 > asked.0;
        soon("the major pause", || events(&kept, kinds::PAUSE_MAJOR).iter().any(asked_for));
        soon("an age", || kept.values(names::SOURCE_AGE, "jvm").len() > 3);
        let [used, limit] = [names::HEAP_USED, names::HEAP_LIMIT].map(|n| kept.values(n, &me));
        assert!(
            used.iter().zip(&limit).all(|(u, l)| 0.0 < *u && u <= l && *l <= 100.0 * 1_048_576.0),
            "{collector}"
        );
        for lane in [
            names::HEAP_YOUNG,
            names::HEAP_OLD,
            names::HEAP_LIVE,
            "heap.eden.limit",
            "heap.old.limit",
            "heap.metaspace.used",
            names::RUNTIME_THREADS,
        ] {
            soon(lane, || kept.values(lane, &me).len() > 3);
        }
        assert!(kept.values(names::PAUSE, &me).iter().any(|p| *p > 0.0));
        let collecting = || kept.values(names::PAUSE_COLLECTING, &me);
        soon("a share of the time", || collecting().iter().any(|share| *share > 0.0));
        let collecting = collecting();
        assert!(collecting.iter().all(|share| (0.0..=1.0).contains(share)), "{collector}: {collecting:?}");
        let [major, minor] = [kinds::PAUSE_MAJOR, kinds::PAUSE_MINOR].map(|kind| events(&kept, kind));
        // After they are fetched: others go on coming.
        let now = MonoNs::now();
        // It ended after it was asked for and before we read of it: that is what places it on our clock.
        assert!(major.iter().any(|e| asked_for(e) && e.end <= now), "{major:?}");
        assert!(
            minor.iter().all(|e| e.start <= e.end && e.end <= now && e.end.0 + 200_000_000 > began.0),
            "{minor:?}"
        );
        let got = kept.0.lock().unwrap();
        let quality = |name: &str| got.lanes.iter().find(|l| l.name == name).unwrap().quality;
        assert_eq!(
            (quality(names::HEAP_OLD), quality(names::HEAP_LIVE)),
            (Quality::Sampled, Quality::Inferred)
        );
        drop(got);
        drop(jvm);
        soon("its end", || kept.happened("gone") && kept.noted("has ended"));
        assert!(attached.join(GRACE));
    }
}

#[test]
fn a_service_that_was_started_again_is_taken_up_again() {
    let port = own_port();
    let first = Jvm::serving(port);
    let kept = Kept::default();
    let attached = attach_jvm(first.0.id(), Box::new(kept.clone())).unwrap();
    let used = |jvm: &Jvm| kept.values(names::HEAP_USED, &format!("pid-{}", jvm.0.id())).len();
    soon("samples", || used(&first) > 3);
    drop(first);
    soon("its end", || kept.happened("gone") && kept.noted("has ended"));
    let second = Jvm::serving(port);
    soon("samples of the second", || used(&second) > 3);
    assert!(kept.noted(&format!("process {} has taken its place", second.0.id())));
    soon("an age of the second", || {
        kept.values(names::SOURCE_AGE, "jvm").last().is_some_and(|age| *age < 1e9)
    });
    assert!(attached.join(GRACE));
}

#[test]
fn processes_that_are_no_jvm_and_files_that_are_none_are_named() {
    let attach = |pid: u32| match attach_jvm(pid, Box::new(Kept::default())) {
        Ok(_) => panic!("{pid} attached"),
        Err(e) => e.to_string(),
    };
    assert_eq!(
        attach(999_999_999),
        "cannot attach the JVM of process 999999999: there is no process 999999999"
    );
    let me = std::process::id();
    assert!(attach(me).contains("it is no HotSpot JVM, or runs with -XX:-UsePerfData"), "{}", attach(me));

    let folder = tempfile::Builder::new().prefix("hsperfdata_").tempdir_in("/tmp").unwrap();
    let file = folder.path().join(me.to_string());
    std::fs::write(&file, b"something else").unwrap();
    assert!(attach(me).ends_with("cannot be used: it is no performance data of HotSpot"), "{}", attach(me));
    std::fs::write(&file, vec![0; (1 << 20) + 1]).unwrap();
    assert!(attach(me).ends_with("longer than 1 MiB"), "{}", attach(me));
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
    assert!(attach(me).contains("cannot be read"), "a link is not followed: {}", attach(me));
}
