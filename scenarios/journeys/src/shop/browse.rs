//! `shop-browse`: the list, and products.

use std::time::Duration;

use goose::GooseError;
use goose::goose::GooseUser;
use goose::prelude::{Scenario, Transaction, TransactionResult, scenario, transaction};

use super::{look_at_a_product, read, shopper};

/// The journey.
///
/// # Errors
/// If goose takes the pause for none.
pub fn scenario() -> Result<Scenario, GooseError> {
    Ok(scenario!("shop-browse")
        .set_wait_time(Duration::from_millis(500), Duration::from_millis(1_500))?
        .register_transaction(transaction!(list).set_name("list").set_weight(1)?)
        .register_transaction(transaction!(look_at_a_product).set_name("product").set_weight(3)?))
}

async fn list(user: &mut GooseUser) -> TransactionResult {
    let page = shopper::of(user).page();
    let path = format!("products?page={page}");
    let request = goose::prelude::GooseRequest::builder().path(&path[..]).name("products").build();
    let answer = user.request(request).await?;
    read(answer).await.map(drop)
}
