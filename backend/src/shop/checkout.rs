//! `POST /checkout`: turns the session's cart into an order, of which e-mail and billing hear.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::Shop;
use super::answer::{Answer, Refusal};
use super::sessions::{LoggedIn, Session};
use crate::broker::{Bought, Content, Placed, outbox};
use crate::faults::slow_downstream;
use crate::settings::Notify;
use crate::store::{FromValue, Outcome, Row, Step, StoreError, Value, now_ms, values};

#[derive(Serialize)]
pub struct Receipt {
    order: i64,
    cents: i64,
}

pub async fn check_out(State(shop): State<Arc<Shop>>, LoggedIn(session): LoggedIn) -> Answer<Receipt> {
    let mut db = shop.database.checkout().await?;
    let rows = db.rows(CART, values![session.id.bytes()]).await?;
    let lines = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if lines.is_empty() {
        return Err(Refusal::conflict("the cart is empty"));
    }
    let cents = lines.iter().map(|l| i64::from(l.cents) * i64::from(l.quantity)).sum();
    let content = Content { customer: session.customer, cents, at_ms: now_ms(), lines };
    let published = slow_downstream::way(&shop) == Notify::Published;
    let steps = steps(&session, &content, published)?;
    let order = match db.together(steps).await? {
        Outcome::Done(returned) => number_of(&returned, &content)?,
        Outcome::Stopped(step) if step < content.lines.len() => {
            return Err(Refusal::conflict("the cart was changed meanwhile"));
        }
        Outcome::Stopped(step) => {
            let product = content.lines.get(step - content.lines.len()).map_or(0, |l| l.product);
            return Err(Refusal::conflict(format!("product {product} is sold out")));
        }
    };
    // Nobody else is to wait for this connection while services are called.
    drop(db);
    let placed = Placed { order, content };
    if published {
        shop.outbox.send(placed);
    } else if let Err((who, why)) = shop.services.tell(&placed).await {
        let why = format!("order {order} is placed, but {who} does not know of it: {why}");
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, why));
    }
    Ok(Json(Receipt { order, cents }))
}

fn number_of(returned: &[Option<Value>], content: &Content) -> Result<i64, StoreError> {
    let number = returned.get(order_step(content)).and_then(Option::as_ref);
    number.and_then(i64::from_value).ok_or_else(|| StoreError::failed("the order has got no number"))
}

fn read(row: &Row) -> Result<Bought, StoreError> {
    Ok(Bought { product: row.get(0)?, quantity: row.get(1)?, cents: row.get(2)? })
}

const CART: &str = "
    SELECT cart.product, quantity, cents FROM cart JOIN price ON price.product = cart.product
    WHERE session = ?1 ORDER BY cart.product";

/// The step that gives the order its number: it comes when each line has left the cart, and then the stock.
fn order_step(content: &Content) -> usize {
    2 * content.lines.len()
}

/// The whole transaction. The lines that are sold leave the cart as they were read: where one was changed meanwhile nothing is
/// done, and what was put beside them stays. Two checkouts of one cart: the second finds it gone. Lines and stock are
/// taken in the order of the products' numbers, so that no two checkouts wait for each other. What the broker is to hear
/// is written with it.
fn steps(session: &Session, content: &Content, published: bool) -> Result<Vec<Step>, StoreError> {
    let leave = "DELETE FROM cart WHERE session = ?1 AND product = ?2 AND quantity = ?3";
    let take = "UPDATE stock SET quantity = quantity - ?2 WHERE product = ?1 AND quantity >= ?2";
    let order = "INSERT INTO purchase (customer, at_ms, cents) VALUES (?1, ?2, ?3) RETURNING id";
    let line = "INSERT INTO purchase_line (purchase, product, quantity, cents) VALUES (?1, ?2, ?3, ?4)";
    let lines = &content.lines;
    let number = || Value::Returned(order_step(content));
    let mut steps = Vec::with_capacity(2 + 3 * lines.len());
    let as_read = |l: &Bought| Step::new(leave, values![session.id.bytes(), l.product, l.quantity]);
    steps.extend(lines.iter().map(|l| as_read(l).changing(1)));
    steps.extend(lines.iter().map(|l| Step::new(take, values![l.product, l.quantity]).changing(1)));
    steps.push(Step::new(order, values![content.customer, content.at_ms, content.cents]));
    let of_order = |l: &Bought| Step::new(line, values![number(), l.product, l.quantity, l.cents]);
    steps.extend(lines.iter().map(of_order));
    if published {
        let event = serde_json::to_string(content).map_err(StoreError::failed)?;
        steps.push(Step::new(outbox::WRITE, values![number(), event, content.at_ms]));
    }
    Ok(steps)
}
