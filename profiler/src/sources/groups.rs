//! Groups of lanes, as people call them: of which a source tells, for the line about it.
//!
//! Owns their names and order. Which lanes there are is known to the source that asks.

/// How the names of a group's lanes begin, what people call it, and whether any process may tell it of itself: then it is said, too, that
/// there is nothing of it.
const GROUPS: &[(&str, &str, bool)] = &[
    ("heap.", "heap", true),
    ("pause.", "pauses", true),
    ("loop.", "loop", true),
    ("offload.", "offload", true),
    ("pool.", "pool", true),
    ("cache.", "cache", true),
    ("server.", "requests", true),
    ("process.", "process", true),
    ("db.", "database", false),
    ("broker.", "broker", false),
    ("downstream.", "services called", false),
];

/// What a source has of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Has {
    /// Lanes that it tells.
    Told,
    /// Lanes that another source tells.
    Elsewhere,
    /// No lane.
    Nothing,
}

/// Groups that are told, and of which there is nothing though there might be, both in the order of the table. `has` is asked by how the
/// names of the lanes begin.
pub(super) fn sorted(has: impl Fn(&str) -> Has) -> (Vec<&'static str>, Vec<&'static str>) {
    let (mut told, mut missing) = (Vec::new(), Vec::new());
    for &(prefix, words, expected) in GROUPS {
        match has(prefix) {
            Has::Told => told.push(words),
            Has::Nothing if expected => missing.push(words),
            Has::Elsewhere | Has::Nothing => {}
        }
    }
    (told, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_source_tells_is_not_missing_and_neither_is_what_few_processes_have() {
        let (told, missing) = sorted(|prefix| match prefix {
            "db." | "heap." => Has::Told,
            "pause." => Has::Elsewhere,
            _ => Has::Nothing,
        });
        assert_eq!(told, ["heap", "database"]);
        assert_eq!(missing, ["loop", "offload", "pool", "cache", "requests", "process"]);
    }
}
