//! Throttling: for how much of the time the CPU quota of its control group holds a process back.
//!
//! Owns the way from `/proc/PID/cgroup` and `/proc/self/mountinfo` to the `cpu.stat` of the process's group and of those above it, of which
//! each may have a quota, in versions 1 and 2 of control groups. What a throttled target means for a run is the detectors' to say.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use timeline::lane::names;
use timeline::{LaneId, LaneSpec, MonoNs, Quality, Unit};

use super::text;
use crate::sources::Sink;

/// Most groups above each other, the process's own among them: a container in a pod in a slice is in five.
const MAX_GROUPS: usize = 12;
/// Shortest time over which a share is worth something: five of the kernel's usual periods of 100 ms.
const LEAST: Duration = Duration::from_millis(500);

/// The lane of one process, and what its groups had counted.
pub(super) struct Throttling {
    groups: Vec<(PathBuf, Counters)>,
    at: MonoNs,
    lane: Option<LaneId>,
}

impl Throttling {
    /// None where no group of the process can be held back, or none can be seen.
    pub fn declare(pid: u32, instance: &str, sink: &mut dyn Sink) -> Option<Self> {
        let (of_process, mounts) = (text(format!("/proc/{pid}/cgroup"))?, text("/proc/self/mountinfo")?);
        let groups = counted(groups(&of_process, &mounts));
        if groups.is_empty() {
            return None;
        }
        // Time is counted for each core that was held back and added up: how much of it lay side by side is concluded.
        let spec = LaneSpec::rate(names::PROCESS_THROTTLED, instance, Unit::Ratio).worst();
        let lane = sink.declare(spec.quality(Quality::Inferred));
        Some(Self { groups, at: MonoNs::now(), lane })
    }

    /// Hands over for how much of the time since the last reading it was held back, by the tightest of its groups.
    pub fn tell(&mut self, now: MonoNs, sink: &mut dyn Sink) {
        let elapsed = now.since(self.at);
        if elapsed < LEAST {
            return;
        }
        self.at = now;
        let mut most: Option<f64> = None;
        for (group, before) in &mut self.groups {
            let Some(counters) = Counters::read(group) else { continue };
            let share = counters.share_since(*before, elapsed);
            *before = counters;
            most = Some(most.unwrap_or(0.0).max(share));
        }
        if let (Some(lane), Some(share)) = (self.lane, most) {
            sink.sample(lane, now, share);
        }
    }
}

/// The groups that count how long they were held back, with what they have counted.
fn counted(groups: Vec<PathBuf>) -> Vec<(PathBuf, Counters)> {
    let with = |group: PathBuf| {
        let counters = Counters::read(&group)?;
        Some((group, counters))
    };
    groups.into_iter().filter_map(with).collect()
}

/// What a group has counted, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counters {
    /// Time in which a core would have had work of the group and was kept from it, of all cores together.
    throttled: u64,
    /// CPU time used, where it is told.
    used: Option<u64>,
}

impl Counters {
    fn read(group: &Path) -> Option<Self> {
        Self::parse(&text(group.join("cpu.stat"))?, text(group.join("cpuacct.usage")).as_deref())
    }

    /// `throttled_usec` and `usage_usec` in version 2; `throttled_time` in version 1, and CPU time in a file of its own, both in nanoseconds.
    fn parse(stat: &str, used_ns: Option<&str>) -> Option<Self> {
        let of = |name: &str| -> Option<u64> {
            stat.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '))?.trim().parse().ok()
        };
        let from_ns = |ns: u64| ns / 1_000;
        let used = || used_ns?.trim().parse::<u64>().ok().map(from_ns);
        Some(Self {
            throttled: of("throttled_usec").or_else(|| of("throttled_time").map(from_ns))?,
            used: of("usage_usec").or_else(used),
        })
    }

    /// Share of the time in which the group was held back since `before`.
    ///
    /// On one core that is the time counted. On several, cores that are held back side by side are counted each; as many are at work in
    /// between, so the share is that of the CPU time which the group would have used. The lesser of both is taken: where the group has
    /// nothing to do for most of the time, the second says nothing.
    fn share_since(self, before: Self, elapsed: Duration) -> f64 {
        let throttled = self.throttled.saturating_sub(before.throttled) as f64;
        let of_time = throttled / (elapsed.as_secs_f64() * 1e6).max(1.0);
        let used = self.used.zip(before.used).map(|(now, then)| now.saturating_sub(then) as f64);
        let of_wanted = used.map_or(1.0, |used| throttled / (throttled + used).max(1.0));
        of_time.min(of_wanted).min(1.0)
    }
}

/// Folders of the groups whose quotas hold for a process, its own first. Where version 1 has the controller `cpu`, version 2 has none.
fn groups(of_process: &str, mounts: &str) -> Vec<PathBuf> {
    let hierarchy = |is: fn(&str) -> bool| {
        of_process.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            is(controllers).then_some(path)
        })
    };
    let found = match hierarchy(lists_cpu) {
        Some(path) => folder(path, mounts, |kind, options| kind == "cgroup" && lists_cpu(options)),
        None => hierarchy(str::is_empty).and_then(|path| folder(path, mounts, |kind, _| kind == "cgroup2")),
    };
    let Some((mount, own)) = found else { return Vec::new() };
    own.ancestors().take(MAX_GROUPS).map(|group| mount.join(group)).collect()
}

fn lists_cpu(words: &str) -> bool {
    words.split(',').any(|word| word == "cpu")
}

/// Where the hierarchy is mounted that `wanted` says (kind and options), and the group's folder in it.
///
/// A line reads `ID PARENT DEVICE ROOT MOUNT-POINT OPTIONS ... - KIND SOURCE OPTIONS`. A container may have a part of the hierarchy only, which
/// begins at ROOT; a group outside of it, whose path leads up, cannot be seen.
fn folder(path: &str, mounts: &str, wanted: fn(&str, &str) -> bool) -> Option<(PathBuf, PathBuf)> {
    mounts.lines().find_map(|line| {
        let (place, what) = line.split_once(" - ")?;
        let mut what = what.split_ascii_whitespace();
        let (kind, options) = (what.next()?, what.nth(1)?);
        let mut place = place.split_ascii_whitespace().skip(3);
        let (root, mount) = (place.next()?, place.next()?);
        let own = Path::new(path).strip_prefix(root).ok()?;
        let inside = own.components().all(|part| matches!(part, Component::Normal(_)));
        (wanted(kind, options) && inside).then(|| (PathBuf::from(mount), own.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const V2: &str =
        "usage_usec 900000\nuser_usec 1\nnr_periods 40\nnr_throttled 7\nthrottled_usec 300000\nnr_bursts 0\n";
    const V1: &str = "nr_periods 40\nnr_throttled 7\nthrottled_time 300000999\n";

    #[test]
    fn both_versions_are_read_and_what_is_none_is_not() {
        let both = Counters { throttled: 300_000, used: Some(900_000) };
        assert_eq!(Counters::parse(V2, None), Some(both));
        assert_eq!(Counters::parse(V1, Some("900000777\n")), Some(both));
        assert_eq!(Counters::parse(V1, Some("many")), Some(Counters { used: None, ..both }));
        // The topmost group of version 2 has no quota, and says nothing of one.
        for none in [
            "",
            "usage_usec 5\n",
            "throttled_usec\n",
            "throttled_usec -5\n",
            "throttled_usec 99999999999999999999\n",
        ] {
            assert_eq!(Counters::parse(none, None), None, "{none:?}");
        }
    }

    #[test]
    fn the_share_is_that_of_the_time_whatever_the_number_of_cores() {
        let share = |throttled_ms: u64, used_ms: Option<u64>| {
            let before = Counters { throttled: 7, used: Some(11) };
            let now =
                Counters { throttled: 7 + throttled_ms * 1_000, used: used_ms.map(|ms| 11 + ms * 1_000) };
            now.share_since(before, Duration::from_secs(1))
        };
        assert_eq!(share(0, Some(900)), 0.0);
        assert_eq!(share(0, Some(0)), 0.0);
        assert_eq!(share(500, Some(500)), 0.5, "one core, half a core of quota");
        assert_eq!(share(3_200, Some(12_800)), 0.2, "sixteen cores, a fifth of the time");
        assert_eq!(share(50, Some(50)), 0.05, "a burst, and nothing to do for the rest");
        assert_eq!(share(3_200, None), 1.0, "without the time used it is no more than all");
        let (low, high) =
            (Counters { throttled: 5, used: Some(5) }, Counters { throttled: u64::MAX, used: None });
        assert_eq!(low.share_since(high, Duration::from_secs(1)), 0.0, "counted from zero again");
        assert_eq!(high.share_since(low, Duration::ZERO), 1.0);
    }

    /// What `/proc/self/mountinfo` says of hierarchies mounted in `at`.
    fn mounts(at: &str, root: &str) -> String {
        format!(
            "23 1 0:1 / /proc rw - proc proc rw\n\
            32 31 0:29 {root} {at}/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            34 31 0:31 {root} {at}/cpuset rw,relatime - cgroup cgroup rw,cpuset\nbroken - line\n - \n\
            41 31 0:38 {root} {at}/unified rw,relatime - cgroup2 cgroup2 rw\n"
        )
    }

    #[test]
    fn the_controller_is_found_in_the_version_that_has_it() {
        let of = |process: &str, root: &str| groups(process, &mounts("/c", root));
        let v1 = ["/c/cpu,cpuacct/a/b:c", "/c/cpu,cpuacct/a", "/c/cpu,cpuacct"].map(PathBuf::from);
        assert_eq!(of("7:cpuset:/x\n3:cpu,cpuacct:/a/b:c\n0::/y\n", "/"), v1);
        assert_eq!(of("0::/a\n", "/"), ["/c/unified/a", "/c/unified"].map(PathBuf::from));
        assert_eq!(of("0::/\n", "/"), [PathBuf::from("/c/unified")]);
        // In a container that has its own part only.
        assert_eq!(of("0::/docker/5/a\n", "/docker/5"), ["/c/unified/a", "/c/unified"].map(PathBuf::from));
        for unseen in ["", "garbage", "0:/a", "7:cpuset:/a\n", "0::/../a\n", "0::a\n", "3:cpu:/../a\n0::/a\n"]
        {
            assert!(of(unseen, "/").is_empty(), "{unseen:?}");
        }
        assert!(of("0::/docker/6\n", "/docker/5").is_empty());
        assert_eq!(of(&format!("0::{}\n", "/a".repeat(100_000)), "/").len(), MAX_GROUPS);
        assert!(groups("0::/a\n", "").is_empty());
    }

    #[test]
    fn groups_without_counters_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let unified = dir.path().join("unified");
        fs::create_dir_all(unified.join("pod/container")).unwrap();
        fs::write(unified.join("cpu.stat"), "usage_usec 5\n").unwrap();
        fs::write(unified.join("pod/cpu.stat"), V2).unwrap();
        fs::write(unified.join("pod/container/cpu.stat"), [0xff; 100]).unwrap();
        let all = groups("0::/pod/container\n", &mounts(dir.path().to_str().unwrap(), "/"));
        assert_eq!(all.len(), 3);
        let counters = Counters { throttled: 300_000, used: Some(900_000) };
        assert_eq!(counted(all), [(unified.join("pod"), counters)]);
    }
}
