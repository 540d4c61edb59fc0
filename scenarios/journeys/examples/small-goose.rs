//! A goose load test as anybody would write it, from the shop's journeys: run it alone, or under `dyno goose -- COMMAND`.
//!
//! ```text
//! cargo run -p dynamometer-journeys --example small-goose -- --host http://127.0.0.1:3000 --users 4 --run-time 5s
//! ```

use goose::{GooseAttack, GooseError};

#[tokio::main]
async fn main() -> Result<(), GooseError> {
    let browse = journeys::scenario("shop-browse")?.expect("it is in the registry");
    let metrics = GooseAttack::initialize()?.register_scenario(browse).execute().await?;
    drop(metrics);
    Ok(())
}
