//! Connections come from the addresses that a plan names.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;

use crate::{common, server};

static SEEN: Mutex<BTreeMap<IpAddr, usize>> = Mutex::new(BTreeMap::new());

#[test]
#[cfg(target_os = "linux")] // which owns all of 127.0.0.0/8
fn sessions_connect_from_each_source_in_turn() {
    let address = server::serve(|_, _, stream| {
        *SEEN.lock().unwrap().entry(stream.peer_addr()?.ip()).or_default() += 1;
        server::ok(stream, "")
    });
    let model = scenarios::plan::Model::Arrivals { from: 40.0, to: 40.0 };
    let mut plan = common::plan(model, 300, vec![common::get(0, "/")]);
    plan.transport.sources = ["127.0.0.2", "127.0.0.3"].map(|ip| ip.parse().unwrap()).to_vec();
    let totals = common::run(plan, address, 1);
    assert_eq!(totals.errors(), BTreeMap::new());
    let seen = SEEN.lock().unwrap();
    let addresses: Vec<String> = seen.keys().map(ToString::to_string).collect();
    assert_eq!(addresses, ["127.0.0.2", "127.0.0.3"]);
    let counts: Vec<usize> = seen.values().copied().collect();
    assert!(counts[0].abs_diff(counts[1]) <= 1, "{counts:?}");
}
