//! A large file that a client uploads flows through: the worker's memory does not grow with it.
//!
//! The file is made while it is sent. 96 MB, three times what memory may grow by, tell a stream from a file held whole;
//! `IMPORT_MEGABYTES=1024` takes a few minutes and shows that the growth is the same.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::io::{BufWriter, Read, Write};
use std::time::Duration;

use common::{Backend, connect};

const MIB: f64 = 1_048_576.0;
/// Issue: resident growth under 32 MB for a file of any size.
const MOST_GROWTH: f64 = 32.0 * MIB;
/// Distinct offers: later rows replace earlier ones, so that the database stays small and the file does not.
const OFFERS: u64 = 5_000;

fn megabytes() -> u64 {
    std::env::var("IMPORT_MEGABYTES").map_or(96, |n| n.parse().unwrap())
}

/// Uploads a file of at least so many megabytes; gives the answer.
fn upload(backend: &Backend, token: &str, megabytes: u64) -> serde_json::Value {
    let mut stream = connect(backend.shop());
    stream.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
    let row = |n: u64| format!("sku-{:06},{:<190}|,{},7\n", n % OFFERS, format!("Offer {n}"), 100 + n % 900);
    let header = "sku,name,cents,quantity\n";
    let rows = (megabytes << 20).div_ceil(row(0).len() as u64);
    let length = header.len() as u64 + (0..rows).map(|n| row(n).len() as u64).sum::<u64>();
    let mut body = BufWriter::with_capacity(1 << 16, &stream);
    write!(
        body,
        "POST /import HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: text/csv\r\nContent-Length: {length}\r\n\r\n{header}",
        backend.shop()
    )
    .unwrap();
    (0..rows).for_each(|n| body.write_all(row(n).as_bytes()).unwrap());
    body.flush().unwrap();
    drop(body);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let done: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((done["rows"].as_u64(), done["bytes"].as_u64()), (Some(rows), Some(length)));
    done
}

#[test]
fn a_large_upload_leaves_memory_flat() {
    let backend = Backend::start(1);
    let token = backend.log_in();
    let resident = || backend.lane("process.resident").unwrap_or(0.0);
    // What every import needs: a statement, a batch of rows, pages of the database.
    upload(&backend, &token, 8);
    let before = backend.told_next("process.resident");
    assert!(before > 0.0);
    let most = std::thread::scope(|scope| {
        let uploading = scope.spawn(|| upload(&backend, &token, megabytes()));
        let mut most = before;
        while !uploading.is_finished() {
            most = most.max(resident());
            std::thread::sleep(Duration::from_millis(50));
        }
        uploading.join().unwrap();
        most
    });
    let growth = most - before;
    println!("{} MB: it grew by {:.1} MiB", megabytes(), growth / MIB);
    assert!(growth < MOST_GROWTH, "it grew by {} MiB", growth / MIB);
}
