//! Journeys of the bundled shop; each is also an example of how one is written.

pub mod browse;
pub mod checkout;
pub mod live;
mod shopper;

use goose::goose::{GooseResponse, GooseUser};
use goose::prelude::{TransactionError, TransactionResult};

/// Reads the answer to its end, so that its connection can be used again: goose stops at the head.
async fn read(answer: GooseResponse) -> Result<Vec<u8>, Box<TransactionError>> {
    let body = answer.response.map_err(wrap)?.bytes().await.map_err(wrap)?;
    Ok(body.to_vec())
}

fn wrap(error: reqwest::Error) -> Box<TransactionError> {
    Box::new(TransactionError::Reqwest(error))
}

fn wrong(what: &str) -> Box<TransactionError> {
    Box::new(TransactionError::Custom(what.to_owned()))
}

/// Looks at a product, the first ones more often than the last.
async fn look_at_a_product(user: &mut GooseUser) -> TransactionResult {
    let product = shopper::of(user).popular_product();
    let path = format!("products/{product}");
    let request = goose::prelude::GooseRequest::builder().path(&path[..]).name("products/ID").build();
    let answer = user.request(request).await?;
    read(answer).await.map(drop)
}
