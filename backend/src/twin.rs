//! The shop's twin for Node.js, Deno and Bun (`backend/node/`), carried inside this binary so that one file is enough.
//!
//! Owns the table of its files. Finding a runtime, unpacking and starting belong to the command line.

macro_rules! files {
    ($($path:literal)*) => {
        &[$(($path, include_str!(concat!("../node/", $path))),)*]
    };
}

/// Path inside the twin's folder, and text, of all that it needs to run; tests are not among them.
pub const FILES: &[(&str, &str)] = files! {
    ".npmrc"
    "agent/allocation.js"
    "agent/cache.js"
    "agent/database.js"
    "agent/fingerprint.js"
    "agent/heap.js"
    "agent/histogram.js"
    "agent/index.js"
    "agent/lanes.js"
    "agent/loop.js"
    "agent/offload.js"
    "agent/pauses.js"
    "agent/pool.js"
    "agent/process.js"
    "agent/requests.js"
    "agent/traffic.js"
    "broker/outbox.js"
    "broker/queue.js"
    "broker/rabbit.js"
    "broker/topic.js"
    "cache/bounded-map.js"
    "cache/fence.js"
    "cache/lock.js"
    "cache/memory.js"
    "cache/products.js"
    "cache/redis.js"
    "cache/settings.js"
    "cache/xfetch.js"
    "clock.js"
    "faults/avalanche.js"
    "faults/big-json.js"
    "faults/blocking-crypto.js"
    "faults/broker-backlog.js"
    "faults/churn.js"
    "faults/cold-cache.js"
    "faults/connect-per-request.js"
    "faults/deoptimised.js"
    "faults/fault.js"
    "faults/fd-exhausted.js"
    "faults/index.js"
    "faults/leak.js"
    "faults/missing-index.js"
    "faults/offload-saturated.js"
    "faults/penetration.js"
    "faults/pool-leak.js"
    "faults/pool-too-large.js"
    "faults/pool-too-small.js"
    "faults/prototype-pollution.js"
    "faults/query-fan-out.js"
    "faults/regex-backtracking.js"
    "faults/retry-storm.js"
    "faults/serial-queries.js"
    "faults/slow-consumer.js"
    "faults/slow-downstream.js"
    "faults/stampede.js"
    "faults/starved-poll.js"
    "faults/stop-the-world.js"
    "faults/too-small-cache.js"
    "faults/uneven-workers.js"
    "faults/whole-file.js"
    "http/answer.js"
    "http/body.js"
    "http/client.js"
    "http/door.js"
    "http/json.js"
    "http/platform.js"
    "http/refusal.js"
    "http/routes.js"
    "http/server.js"
    "http/shape.js"
    "http/token.js"
    "main.js"
    "package-lock.json"
    "package.json"
    "remedies.js"
    "services/consumers.js"
    "services/desk.js"
    "services/main.js"
    "services/routes.js"
    "settings.js"
    "shop/cart.js"
    "shop/catalogue.js"
    "shop/csv.js"
    "shop/dashboard.js"
    "shop/feed.js"
    "shop/health.js"
    "shop/index.js"
    "shop/login.js"
    "shop/offers.js"
    "shop/orders.js"
    "shop/password.js"
    "shop/picture.js"
    "shop/plotters.js"
    "shop/price-list.js"
    "shop/price.js"
    "shop/product.js"
    "shop/ranking.js"
    "shop/recommend.js"
    "shop/retry.js"
    "shop/services.js"
    "shop/sessions.js"
    "shop/sheet.js"
    "shop/supplier-file.js"
    "shop/tokens.js"
    "shop/visits.js"
    "shop/websocket.js"
    "shop/wishes.js"
    "store/database.js"
    "store/driver.js"
    "store/metered.js"
    "store/places.js"
    "store/pool.js"
    "store/postgres.js"
    "store/schema.js"
    "store/seed.js"
    "store/server-figures.js"
    "store/sqlite-operations.js"
    "store/sqlite-plans.js"
    "store/sqlite-thread.js"
    "store/sqlite.js"
    "store/transactions.js"
    "supervisor/by-hand.js"
    "supervisor/control.js"
    "supervisor/crew.js"
    "supervisor/index.js"
    "supervisor/orders.js"
    "supervisor/port.js"
    "supervisor/ticks.js"
    "supervisor/truths.js"
    "text.js"
    "worker/child.js"
    "worker/main.js"
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// What is not needed to run, and what npm puts there.
    const LEFT_OUT: [&str; 4] = ["node_modules", "testing", ".gitignore", "README.md"];

    #[test]
    fn the_table_has_every_file_of_the_twin() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
        let mut there = BTreeSet::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root.join(&folder)).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                let path = folder.join(&name);
                if LEFT_OUT.contains(&name.as_str()) || name.ends_with(".test.js") {
                    continue;
                }
                if entry.path().is_dir() {
                    folders.push(path);
                } else {
                    there.insert(path.to_str().unwrap().to_owned());
                }
            }
        }
        let listed: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(listed, there);
    }

    #[test]
    fn its_lock_names_no_registry() {
        let (_, lock) = FILES.iter().find(|(path, _)| *path == "package-lock.json").unwrap();
        assert!(
            !lock.contains("\"resolved\""),
            "npm_config_omit_lockfile_registry_resolved=true npm install"
        );
    }
}
