//! `PUT /products/{id}/price`: changes what a product costs, in the database, in the cache and for those who watch.
//!
//! Only the shop's keeper may: the customer of number 1. The cache follows by its [mode](crate::settings::CacheMode), and
//! other workers [hear of it](super::neighbours): also when the client hangs up meanwhile, or the cache cannot load
//! what is new.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};

use super::Shop;
use super::answer::{Answer, Body, Object, Path, Refusal};
use super::neighbours::PriceChange;
use super::sessions::LoggedIn;
use crate::store::{Database, values};

/// Who keeps the shop.
const KEEPER: u32 = 1;
/// The most that a product costs: a million, in cents.
pub const MAX_CENTS: u32 = 100_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    cents: u32,
}

#[derive(Serialize)]
pub struct Changed {
    product: u32,
    cents: u32,
}

/// The shop's keeper, who is logged in. Everybody else is refused before what they want is looked at.
pub struct Keeper;

impl FromRequestParts<Arc<Shop>> for Keeper {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shop: &Arc<Shop>) -> Result<Self, Refusal> {
        let LoggedIn(session) = LoggedIn::from_request_parts(parts, shop).await?;
        if session.customer != KEEPER {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "only the shop's keeper changes prices"));
        }
        Ok(Self)
    }
}

pub async fn change(
    State(shop): State<Arc<Shop>>,
    _keeper: Keeper,
    Path(product): Path<u32>,
    Body(Object(wanted)): Body<Object<Wanted>>,
) -> Answer<Changed> {
    let cents = wanted.cents;
    if !(1..=MAX_CENTS).contains(&cents) {
        return Err(Refusal::bad(format!("cents is {cents}, expected 1 to {MAX_CENTS}")));
    }
    let database = shop.database.clone();
    let work = Box::pin(apply(shop, PriceChange { product, cents }));
    ToTheEnd { work: Some(work), database }.await.map(Json)
}

/// Changes it, and sees to all that follows.
async fn apply(shop: Arc<Shop>, change: PriceChange) -> Result<Changed, Refusal> {
    let PriceChange { product, cents } = change;
    let changed = shop.database.row(CHANGE, values![product, cents]).await?;
    changed.ok_or_else(|| Refusal::not_found("there is no such product"))?;
    shop.products.changed(product).await;
    shop.feed.announce(product, cents);
    shop.neighbours.tell(change);
    Ok(Changed { product, cents })
}

const CHANGE: &str = "UPDATE price SET cents = ?2 WHERE product = ?1 RETURNING cents";

/// Work on the request's own task, which knows what it asks of the database. When the client hangs up it goes on beside
/// the requests: once a price is written, whoever keeps the old one has to hear of it.
struct ToTheEnd {
    /// None when it is done.
    work: Option<Work>,
    database: Arc<Database>,
}

type Work = Pin<Box<dyn Future<Output = Result<Changed, Refusal>> + Send>>;

impl Future for ToTheEnd {
    type Output = Result<Changed, Refusal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let work = self.work.as_mut().expect("nobody asks for more than one result");
        let done = ready!(work.as_mut().poll(context));
        self.work = None;
        Poll::Ready(done)
    }
}

impl Drop for ToTheEnd {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.database.beside(async move {
                let _ = work.await;
            });
        }
    }
}
