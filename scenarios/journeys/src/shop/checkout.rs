//! `shop-checkout`: log in, look, put into the cart, buy, look at the orders.

use std::time::Duration;

use goose::GooseError;
use goose::goose::{GooseMethod, GooseUser};
use goose::prelude::{
    GooseRequest, Scenario, Transaction, TransactionError, TransactionResult, scenario, transaction,
};
use serde_json::{Value, json};

use super::{look_at_a_product, read, shopper, wrong};

/// The journey.
///
/// # Errors
/// If goose takes the pause for none.
pub fn scenario() -> Result<Scenario, GooseError> {
    Ok(scenario!("shop-checkout")
        .set_wait_time(Duration::from_millis(200), Duration::from_millis(800))?
        .register_transaction(transaction!(log_in).set_name("log in").set_on_start())
        .register_transaction(transaction!(look_at_a_product).set_name("product").set_sequence(1))
        .register_transaction(transaction!(cart).set_name("cart").set_sequence(2))
        .register_transaction(transaction!(check_out).set_name("check out").set_sequence(3))
        .register_transaction(transaction!(orders).set_name("orders").set_on_stop()))
}

async fn log_in(user: &mut GooseUser) -> TransactionResult {
    let name = shopper::of(user).customer();
    let answer = user.post_json("login", &json!({ "user": name, "pass": "secret" })).await?;
    let body: Value = serde_json::from_slice(&read(answer).await?).unwrap_or_default();
    let token = body["token"].as_str().ok_or_else(|| wrong("the answer to the log-in has no token"))?;
    token.clone_into(&mut shopper::of(user).token);
    Ok(())
}

async fn cart(user: &mut GooseUser) -> TransactionResult {
    let product = shopper::of(user).popular_product();
    let item = json!({ "product": product, "quantity": 1 });
    ask(user, GooseMethod::Post, "cart", Some(&item)).await
}

async fn check_out(user: &mut GooseUser) -> TransactionResult {
    ask(user, GooseMethod::Post, "checkout", Some(&json!({}))).await
}

async fn orders(user: &mut GooseUser) -> TransactionResult {
    ask(user, GooseMethod::Get, "orders", None).await
}

/// Asks as the customer that is logged in.
async fn ask(
    user: &mut GooseUser,
    method: GooseMethod,
    path: &str,
    json: Option<&Value>,
) -> TransactionResult {
    let token = shopper::of(user).token.clone();
    if token.is_empty() {
        return Err(Box::new(TransactionError::Custom("nobody is logged in".to_owned())));
    }
    let mut asked = user.get_request_builder(&method, path)?.bearer_auth(token);
    if let Some(json) = json {
        asked = asked.json(json);
    }
    let request = GooseRequest::builder().method(method).path(path).set_request_builder(asked).build();
    let answer = user.request(request).await?;
    read(answer).await.map(drop)
}
