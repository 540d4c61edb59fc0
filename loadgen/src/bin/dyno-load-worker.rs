//! A worker process by itself, for this crate's tests; `dyno load-worker` is the same.

fn main() -> Result<(), dynamometer_loadgen::WorkerError> {
    dynamometer_loadgen::worker_main()
}
