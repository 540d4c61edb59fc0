//! Naming: what each process and server that is read is called, so that no two of a run share their lanes.
//!
//! Owns the names that were given, and how a server's is made of its address. A name is short as long as nobody else has it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::{Sink, locked};

/// Longest name that tells the whole address.
const WHOLE_MAX: usize = 90;

/// The names that instances of a run have. Clones share them.
#[derive(Clone, Default)]
pub struct Naming(Arc<Mutex<BTreeSet<String>>>);

impl Naming {
    /// `short` if nobody has it, else `whole`, else that with a number.
    #[must_use]
    pub fn unique(&self, short: &str, whole: &str) -> String {
        let mut taken = locked(&self.0);
        let mut name = if taken.contains(short) { whole } else { short }.to_owned();
        let mut n = 1_u32;
        while !taken.insert(name.clone()) {
            n += 1;
            name = format!("{whole}-{n}");
        }
        name
    }
}

/// The server behind `port` as an instance of `source`; where another has that name, with its host and what lies behind the port.
pub(super) fn server(source: &str, host: &str, port: &str, path: &str, sink: &mut dyn Sink) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' };
    let whole = format!("{source}-{host}-{port}-{}", path.trim_start_matches('/'));
    let whole: String = whole.chars().map(plain).take(WHOLE_MAX).collect();
    sink.instance(&format!("{source}-{port}"), whole.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::testing::Keeping;

    #[test]
    fn hosts_paths_and_databases_behind_one_port_are_told_apart() {
        let mut sink = Keeping::default();
        let mut name = |host: &str, path: &str| server("metrics", host, "9100", path, &mut sink);
        assert_eq!(name("127.0.0.1", "/metrics"), "metrics-9100");
        assert_eq!(name("10.0.0.5", "/metrics"), "metrics-10.0.0.5-9100-metrics");
        assert_eq!(name("10.0.0.5", "/a/b?c"), "metrics-10.0.0.5-9100-a-b-c");
        assert_eq!(name("10.0.0.5", "/metrics"), "metrics-10.0.0.5-9100-metrics-2");
        assert_eq!(name("10.0.0.5", "/metrics"), "metrics-10.0.0.5-9100-metrics-3");
        assert_eq!(name("::1", ""), "metrics---1-9100");
        assert!(name("10.0.0.5", &"x".repeat(500)).len() <= WHOLE_MAX);
    }
}
