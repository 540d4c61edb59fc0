//! A worker process by itself, for this crate's tests; `dyno load-worker` is the same.

fn main() -> Result<(), loadgen::WorkerError> {
    loadgen::worker_main()
}
