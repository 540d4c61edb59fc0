//! The shop as a program of its own, for tests and for trying it by hand: `dyno-shop [WORKERS] [LISTEN]`.
//!
//! The token of control and probe is taken from `DYNO_TOKEN`. It ends when its standard input does.

use std::process::ExitCode;

use dynamometer_backend::{self as backend, BackendError, SupervisorOptions};

#[global_allocator]
static ALLOC: agent::Alloc = agent::Alloc::new();

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done =
        if args.first().is_some_and(|a| a == "backend-worker") { backend::work() } else { serve(&args) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("dyno-shop: {e}");
            ExitCode::from(2)
        }
    }
}

fn serve(args: &[String]) -> Result<(), BackendError> {
    let any = "127.0.0.1:0".parse().expect("an address");
    backend::supervise(SupervisorOptions {
        listen: args.get(1).and_then(|a| a.parse().ok()).unwrap_or(any),
        control: any,
        workers: args.first().and_then(|a| a.parse().ok()).unwrap_or(1),
        worker_args: vec!["backend-worker".to_owned()],
        token: std::env::var("DYNO_TOKEN").unwrap_or_default(),
        follow_stdin: true,
    })
}
