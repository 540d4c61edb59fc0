//! Pools and caches: one row each, stampedes by key, and the lanes of the selected one.

use ratatui::layout::Rect;
use timeline::event::kinds;
use timeline::lane::names;
use timeline::snapshot::{CacheView, PoolView, Snapshot};
use timeline::{RunTime, Unit};

use super::Scene;
use crate::canvas::Canvas;
use crate::figures;
use crate::lanes::{self, Lane};
use crate::layout::{self, SizeClass};
use crate::table::{self, List, Row, figure, words};
use crate::theme::Role;

/// Most rows of one lane.
const TALLEST: u16 = 3;
/// Parts of a pool that have a lane, besides its fill.
const POOL_PARTS: [&str; 5] = ["waiters", "wait", "hold", "acquired", "timeouts"];
/// Parts of a cache that have a lane.
const CACHE_PARTS: [&str; 7] =
    ["loads", "duplicate-loads", "loads-in-flight", "misses", "hits", "load", "evictions"];

/// Pools, then caches.
pub(super) fn row_count(scene: &Scene<'_>) -> usize {
    scene.snapshot.pools.len() + scene.snapshot.caches.len()
}

/// Draws it.
pub(super) fn draw(canvas: &mut Canvas<'_>, body: Rect, scene: &Scene<'_>) {
    let s = scene.snapshot;
    let selected = scene.model.selected(scene.model.view).min(row_count(scene).saturating_sub(1));
    let share = body.height / 4;
    let height = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).saturating_add(2).min(share.max(3));

    let (area, rest) = layout::top(body, height(s.pools.len()));
    canvas.heading(layout::row(area, 0), "pools", "wait and hold over the last 5 s");
    let rows: Vec<Row> = s.pools.iter().map(pool_row).collect();
    let part = List { first: 0, selected };
    table::draw_or(canvas, layout::top(area, 1).1, &POOL_COLUMNS, &rows, Some(part), "no pool is known");

    let (area, rest) = layout::top(rest, height(s.caches.len()));
    canvas.heading(layout::row(area, 0), "caches", "rates over the last second");
    let rows: Vec<Row> = s.caches.iter().map(cache_row).collect();
    let part = List { first: s.pools.len(), selected };
    table::draw_or(canvas, layout::top(area, 1).1, &CACHE_COLUMNS, &rows, Some(part), "no cache is known");

    let rest = if scene.size >= SizeClass::Standard { stampedes(canvas, rest, s, share) } else { rest };
    let (name, lanes) = match selected.checked_sub(s.pools.len()).and_then(|i| s.caches.get(i)) {
        Some(cache) => (format!("cache {}", cache.name), cache_lanes(scene, cache)),
        None => s
            .pools
            .get(selected)
            .map_or((String::new(), Vec::new()), |p| (format!("pool {}", p.name), pool_lanes(scene, p))),
    };
    if lanes.is_empty() {
        return;
    }
    let (head, area) = layout::top(rest, 1);
    canvas.heading(head, &name, "j k choose");
    lanes::stacked(canvas, area, &scene.axis(area), s, &lanes, TALLEST);
}

/// A key that was loaded more than once at a time.
struct Stampede<'a> {
    cache: &'a str,
    key: &'a str,
    /// Most loads in one refresh.
    most: f64,
    refreshes: u64,
    last: RunTime,
}

/// Stampedes among the newest events, by key: the one with the most loads at once first.
fn by_key(s: &Snapshot) -> Vec<Stampede<'_>> {
    let mut found: Vec<Stampede<'_>> = Vec::new();
    for e in s.events.iter().filter(|e| e.kind == kinds::CACHE_REFRESH && e.value > 1.0) {
        let (cache, key) = (e.label("cache").unwrap_or_default(), e.label("key").unwrap_or_default());
        match found.iter_mut().find(|f| f.cache == cache && f.key == key) {
            Some(f) => {
                (f.most, f.last) = (f.most.max(e.value), f.last.max(e.start));
                f.refreshes += 1;
            }
            None => found.push(Stampede { cache, key, most: e.value, refreshes: 1, last: e.start }),
        }
    }
    found.sort_by(|a, b| b.most.total_cmp(&a.most));
    found
}

/// Draws them in `most` rows at most, if there are any; gives what is left of `area`.
fn stampedes(canvas: &mut Canvas<'_>, area: Rect, s: &Snapshot, most: u16) -> Rect {
    let found = by_key(s);
    if found.is_empty() {
        return area;
    }
    let height = u16::try_from(found.len()).unwrap_or(u16::MAX).saturating_add(2).min(most.max(3));
    let (list, rest) = layout::top(area, height);
    canvas.heading(layout::row(list, 0), "stampedes by key", "most loads at once first");
    let columns = [
        words("key", 24),
        words("cache", 12),
        figure("at once", 8),
        figure("refreshes", 9),
        figure("last at", 8),
    ];
    let row = |f: &Stampede<'_>| Row {
        cells: vec![
            f.key.to_owned(),
            f.cache.to_owned(),
            Unit::Count.show(f.most),
            figures::count(f.refreshes),
            f.last.to_string(),
        ],
        role: Role::Warning,
    };
    let rows: Vec<Row> = found.iter().map(row).collect();
    table::draw(canvas, layout::top(list, 1).1, &columns, &rows, None);
    rest
}

const POOL_COLUMNS: [table::Column; 7] = [
    words("pool", 12),
    figure("in use", 11),
    figure("waiters", 8),
    figure("wait p50", 8),
    figure("wait p99", 8),
    figure("hold p50", 8),
    figure("hold p99", 8),
];

/// One that fell silent shows its age instead of its last values.
fn silent_row(name: &str, age_ns: u64) -> Row {
    Row { cells: vec![name.to_owned(), "silent".to_owned(), figures::age(age_ns)], role: Role::Warning }
}

fn pool_row(p: &PoolView) -> Row {
    if p.age_ns > figures::STALE_NS {
        return silent_row(&p.name, p.age_ns);
    }
    let waits = p.waiters.is_some_and(|w| w > 0.0);
    Row {
        cells: vec![
            p.name.clone(),
            figures::fill(p.in_use, p.capacity),
            figures::show(Unit::Count, p.waiters),
            figures::quantile(&p.wait, |q| q.p50),
            figures::quantile(&p.wait, |q| q.p99),
            figures::quantile(&p.hold, |q| q.p50),
            figures::quantile(&p.hold, |q| q.p99),
        ],
        role: if waits { Role::Warning } else { Role::Text },
    }
}

const CACHE_COLUMNS: [table::Column; 8] = [
    words("cache", 12),
    figure("hit", 6),
    figure("hits", 8),
    figure("misses", 8),
    figure("loads", 8),
    figure("double", 8),
    figure("flying", 6),
    words("most loads in one refresh", 0),
];

fn cache_row(c: &CacheView) -> Row {
    if c.age_ns > figures::STALE_NS {
        return silent_row(&c.name, c.age_ns);
    }
    let double = c.duplicate_loads.is_some_and(|d| d > 0.0);
    let worst = c.worst_key.as_ref().map(|(key, n)| format!("{} {key}", Unit::Count.show(*n)));
    Row {
        cells: vec![
            c.name.clone(),
            figures::show(Unit::Ratio, c.hit_ratio),
            figures::show(Unit::PerSecond, c.hits),
            figures::show(Unit::PerSecond, c.misses),
            figures::show(Unit::PerSecond, c.loads),
            figures::show(Unit::PerSecond, c.duplicate_loads),
            figures::show(Unit::Count, c.loads_in_flight),
            worst.unwrap_or_default(),
        ],
        role: if double { Role::Warning } else { Role::Text },
    }
}

fn pool_lanes<'a>(scene: &Scene<'a>, pool: &'a PoolView) -> Vec<Lane<'a>> {
    let mut out = vec![Lane::pool(scene.snapshot, "in use", pool)];
    out.extend(parts(scene, names::POOL, &pool.name, &POOL_PARTS));
    out
}

fn cache_lanes<'a>(scene: &Scene<'a>, cache: &CacheView) -> Vec<Lane<'a>> {
    parts(scene, names::CACHE, &cache.name, &CACHE_PARTS)
}

fn parts<'a>(scene: &Scene<'a>, family: &str, member: &str, parts: &[&str]) -> Vec<Lane<'a>> {
    let short = |part: &str| part.replace("duplicate-loads", "double").replace("loads-in-flight", "flying");
    let lane = |part: &&str| Lane::named(scene.snapshot, short(part), &names::of(family, member, part));
    parts.iter().map(lane).filter(Lane::is_available).collect()
}
