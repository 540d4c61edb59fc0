//! The shop as a program of its own, for tests and for trying it by hand: `dyno-shop [WORKERS] [LISTEN]`.
//!
//! The token of control and probe is taken from `DYNO_TOKEN`, figures of the shop from `DYNO_SHOP_SETTINGS`. It ends
//! when its standard input does.

use std::process::ExitCode;

use dynamometer_backend::{self as backend, BackendError, ShopSettings, Stores, SupervisorOptions};

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

/// Figures of the shop that differ from the default, as JSON.
fn settings() -> Result<ShopSettings, BackendError> {
    let Ok(text) = std::env::var("DYNO_SHOP_SETTINGS") else { return Ok(ShopSettings::default()) };
    serde_json::from_str(&text).map_err(|e| BackendError::Option(format!("DYNO_SHOP_SETTINGS: {e}")))
}

fn serve(args: &[String]) -> Result<(), BackendError> {
    let any = "127.0.0.1:0".parse().expect("an address");
    backend::supervise(SupervisorOptions {
        listen: args.get(1).and_then(|a| a.parse().ok()).unwrap_or(any),
        control: any,
        workers: args.first().and_then(|a| a.parse().ok()).unwrap_or(1),
        worker_args: vec!["backend-worker".to_owned()],
        token: std::env::var("DYNO_TOKEN").unwrap_or_default(),
        stores: Stores::choose(None, None, None)?,
        shop: settings()?,
        follow_stdin: true,
    })
}
