//! A goose load test of one GET, its users sharing one client; arguments are goose's own.
//!
//! `BENCH_PATH` is the path that is asked for. The body is read, as every other client does; goose's own figure still stops at
//! the head.

use goose::client::GooseClientBuilder;
use goose::prelude::*;

#[tokio::main]
async fn main() -> Result<(), GooseError> {
    if std::env::args().nth(1).as_deref() == Some("--bench-version") {
        println!("goose 0.19.0");
        return Ok(());
    }
    GooseAttack::initialize()?
        .set_client_builder_without_cookies(GooseClientBuilder::new().without_cookies())?
        .register_scenario(scenario!("client").register_transaction(transaction!(get)))
        .execute()
        .await?;
    Ok(())
}

async fn get(user: &mut GooseUser) -> TransactionResult {
    let path = std::env::var("BENCH_PATH").unwrap_or_else(|_| "/".to_owned());
    let answer = user.get(&path).await?;
    if let Ok(response) = answer.response {
        let _ = response.bytes().await;
    }
    Ok(())
}
