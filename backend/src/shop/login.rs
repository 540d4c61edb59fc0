//! `POST /login`: name and password for a token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::Shop;
use super::answer::{Answer, Body, Refusal};
use super::password::{HASH_BYTES, SALT_BYTES};
use crate::faults::blocking_crypto::{self, Claim};
use crate::store::StoreError;

/// Longer ones are refused before anything is spent on them, bytes.
const MAX_NAME: usize = 64;
const MAX_PASSWORD: usize = 128;

#[derive(Deserialize)]
pub struct Credentials {
    user: String,
    pass: String,
}

#[derive(Serialize)]
pub struct LoggedIn {
    token: String,
}

struct Customer {
    id: u32,
    salt: [u8; SALT_BYTES],
    hash: [u8; HASH_BYTES],
}

pub async fn log_in(State(shop): State<Arc<Shop>>, Body(given): Body<Credentials>) -> Answer<LoggedIn> {
    if given.user.len() > MAX_NAME || given.pass.len() > MAX_PASSWORD {
        return Err(Refusal::bad(format!("a name has at most {MAX_NAME} bytes, a password {MAX_PASSWORD}")));
    }
    let name = given.user;
    let customer = shop.database.run(move |db| find(db, &name)).await?;
    let known = customer.is_some();
    // An unknown name costs as much as a known one, so that names cannot be found out by the clock.
    let customer = customer.unwrap_or(Customer { id: 0, salt: [0; SALT_BYTES], hash: [0; HASH_BYTES] });
    let id = customer.id;
    let claim = Claim { password: given.pass, salt: customer.salt, hash: customer.hash };
    let fits = blocking_crypto::check(&shop.faults, claim)
        .await
        .map_err(|e| StoreError::Failed(e.to_string().into()))?;
    if !(known && fits) {
        return Err(Refusal::unauthorized("name or password is wrong"));
    }
    let session = shop.sessions.begin(id).await?;
    Ok(Json(LoggedIn { token: session.id.token() }))
}

fn find(db: &mut rusqlite::Connection, name: &str) -> rusqlite::Result<Option<Customer>> {
    db.prepare_cached("SELECT id, salt, hash FROM customer WHERE name = ?1")?
        .query_row(params![name], |r| Ok(Customer { id: r.get(0)?, salt: r.get(1)?, hash: r.get(2)? }))
        .optional()
}
