//! `POST /login`: name and password for a token, of a shorter life where the customer asks for one.

use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Deserializer, Serialize};

use super::Shop;
use super::answer::{Answer, Body, Object, Refusal};
use super::password::{HASH_BYTES, SALT_BYTES};
use crate::faults::blocking_crypto::{self, Claim};
use crate::store::{StoreError, values};

/// Longer ones are refused before anything is spent on them, bytes.
const MAX_NAME: usize = 64;
const MAX_PASSWORD: usize = 128;
/// For how long a token may be asked for, seconds.
const TTL_S: RangeInclusive<u32> = 1..=3_600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    user: String,
    pass: String,
    /// For how long the token shall be good, seconds; where nothing is said, as long as its session lasts.
    #[serde(default, deserialize_with = "said")]
    ttl_s: Option<u32>,
}

/// A number: `null` is none.
fn said<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    u32::deserialize(from).map(Some)
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

pub async fn log_in(
    State(shop): State<Arc<Shop>>,
    Body(Object(given)): Body<Object<Credentials>>,
) -> Answer<LoggedIn> {
    if given.user.len() > MAX_NAME || given.pass.len() > MAX_PASSWORD {
        return Err(Refusal::bad(format!("a name has at most {MAX_NAME} bytes, a password {MAX_PASSWORD}")));
    }
    if given.user.contains('\0') {
        return Err(Refusal::bad("a name holds no NUL"));
    }
    if let Some(ttl_s) = given.ttl_s.filter(|ttl_s| !TTL_S.contains(ttl_s)) {
        return Err(Refusal::bad(format!("ttl_s is {ttl_s}, expected {} to {}", TTL_S.start(), TTL_S.end())));
    }
    let found = shop.database.row(FIND, values![given.user]).await?;
    let known = found.is_some();
    // An unknown name costs as much as a known one, so that names cannot be found out by the clock.
    let nobody = Customer { id: 0, salt: [0; SALT_BYTES], hash: [0; HASH_BYTES] };
    let customer = found.map_or(Ok(nobody), |row| {
        Ok::<_, StoreError>(Customer { id: row.get(0)?, salt: row.get(1)?, hash: row.get(2)? })
    })?;
    let id = customer.id;
    let claim = Claim { password: given.pass, salt: customer.salt, hash: customer.hash };
    let fits = blocking_crypto::check(&shop.faults, claim).await.map_err(StoreError::failed)?;
    if !(known && fits) {
        return Err(Refusal::unauthorized("name or password is wrong"));
    }
    Ok(Json(LoggedIn { token: shop.sessions.begin(id, given.ttl_s).await? }))
}

const FIND: &str = "SELECT id, salt, hash FROM customer WHERE name = ?1";
