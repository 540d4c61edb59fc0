//! Query fan-out, and its cure: how a list of products gets its prices.
//!
//! The fault asks for each row's price by itself (N+1), one round trip after the other on one connection. The cure joins.

use timeline::fault::FaultKind;

use super::{Faults, Lever};
use crate::shop::catalogue::Listed;
use crate::store::{Database, StoreError, values};

/// Looked at by every request for a page.
pub const LEVER: Lever = Lever::switch_only(FaultKind::QueryFanOut);

const JOINED: &str = "
    SELECT product.id, name, cents FROM product JOIN price ON price.product = product.id
    WHERE product.id > ?1 ORDER BY product.id LIMIT ?2";
const BARE: &str = "SELECT id, name FROM product WHERE id > ?1 ORDER BY id LIMIT ?2";
const PRICE: &str = "SELECT cents FROM price WHERE product = ?1";

/// `count` products from behind number `after` on.
pub async fn page(
    database: &Database,
    faults: &Faults,
    after: u32,
    count: u32,
) -> Result<Vec<Listed>, StoreError> {
    if faults[FaultKind::QueryFanOut].is_on() {
        return one_by_one(database, faults, after, count).await;
    }
    database.rows(JOINED, values![after, count]).await?.iter().map(Listed::read).collect()
}

/// The fault.
async fn one_by_one(
    database: &Database,
    faults: &Faults,
    after: u32,
    count: u32,
) -> Result<Vec<Listed>, StoreError> {
    let mut connection = database.checkout().await?;
    let mut listed = Vec::new();
    for row in connection.rows(BARE, values![after, count]).await? {
        let id: u32 = row.get(0)?;
        let price = connection.row(PRICE, values![id]).await?;
        let price = price.ok_or_else(|| StoreError::failed("a product has no price"))?;
        faults[FaultKind::QueryFanOut].took_effect();
        listed.push(Listed { id, name: row.get(1)?, cents: price.get(0)? });
    }
    Ok(listed)
}
