//! The first content of the shop: the same on every machine and in both databases.
//!
//! Owns what the rows are ([`tables`]); how they get in is [`super::home`]'s. The default set is made in a
//! fraction of a second; a million past orders and lines take a few.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::value::{Value, values};
use crate::shop::password;

/// Products, numbered from 1.
pub const PRODUCTS: u32 = 500;
/// Customers `user-1` to `user-10000`.
pub const CUSTOMERS: u32 = 10_000;
/// The password of all customers: one hash serves all, so that seeding need not hash ten thousand times.
pub const PASSWORD: &str = "secret";

const SEED: u64 = 0x5EED;
const SELLERS: u32 = 40;
const CATEGORIES: u32 = 20;
const REVIEWS_EACH: u32 = 8;
/// Nobody's load sells this out.
const STOCK_EACH: u32 = 100_000_000;
/// One salt for the one hash.
const SALT: [u8; password::SALT_BYTES] = *b"seeded customers";
/// Lines of a past order; with the order itself three rows.
const LINES_EACH: u32 = 2;
/// When the first past order was made: 2025-01-01 in milliseconds since the Unix epoch.
const FIRST_ORDER_MS: i64 = 1_735_689_600_000;
/// From one past order to the next, milliseconds: ten million rows still lie in the past.
const ORDER_EVERY_MS: i64 = 5_000;

const LOOKS: [&str; 10] =
    ["Plain", "Blue", "Folding", "Heavy", "Quiet", "Striped", "Travel", "Garden", "Winter", "Brass"];
const THINGS: [&str; 10] =
    ["Kettle", "Lamp", "Chair", "Blanket", "Clock", "Basket", "Umbrella", "Notebook", "Teapot", "Radio"];
const TOWNS: [&str; 8] = ["Aachen", "Bergen", "Cork", "Delft", "Evora", "Faro", "Ghent", "Hull"];
const OPINIONS: [&str; 6] = [
    "Does what it should.",
    "Came a day late, but is well made.",
    "My second one; the first is still in use.",
    "Smaller than I thought.",
    "A fine present.",
    "The colour is not the one in the picture.",
];

const QUESTIONS: [(&str, &str); 4] = [
    ("Is it made of wood?", "Mostly."),
    ("Does it fit on a small table?", "It does."),
    ("Can it be repaired?", "Every part can be ordered."),
    ("How long is the guarantee?", "Three years."),
];

/// Rows of one table, in the order of its key.
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The columns that a row has, in its order.
    pub columns: &'static [&'static str],
    /// Does the database number the rows that come later?
    pub numbered: bool,
    /// The rows.
    pub rows: Box<dyn Iterator<Item = Vec<Value>> + Send>,
}

impl Table {
    fn new(
        name: &'static str,
        columns: &'static [&'static str],
        rows: impl Iterator<Item = Vec<Value>> + Send + 'static,
    ) -> Self {
        Self { name, columns, numbered: false, rows: Box::new(rows) }
    }

    fn numbered(self) -> Self {
        Self { numbered: true, ..self }
    }
}

/// All tables that are not empty at first, each after those that it refers to. `history` is how many rows past
/// orders and their lines have together.
pub fn tables(history: u32) -> Vec<Table> {
    let orders = history / (1 + LINES_EACH);
    vec![
        Table::new("seller", &["id", "name", "town"], sellers()),
        Table::new("category", &["id", "name"], categories()),
        Table::new("delivery", &["category", "days", "cents"], deliveries()),
        Table::new("promotion", &["category", "percent"], promotions()),
        Table::new("product", &["id", "name", "about", "category", "seller"], products()),
        Table::new("price", &["product", "cents"], (1..=PRODUCTS).map(|id| values![id, price(id)])),
        Table::new("stock", &["product", "quantity"], (1..=PRODUCTS).map(|id| values![id, STOCK_EACH])),
        Table::new("review", &["id", "product", "stars", "text"], reviews()).numbered(),
        Table::new("question", &["id", "product", "text", "answer"], questions()).numbered(),
        Table::new("customer", &["id", "name", "salt", "hash"], customers()),
        Table::new("banned", &["address"], banned()),
        Table::new("purchase", &["id", "customer", "at_ms", "cents"], (1..=orders).map(order)).numbered(),
        Table::new(
            "purchase_line",
            &["purchase", "product", "quantity", "cents"],
            (1..=orders).flat_map(|id| lines(id).map(move |l| values![id, l.product, l.quantity, l.cents])),
        ),
    ]
}

/// A source of chance for row `id` of the table with this name: rows do not depend on one another.
fn chance(table: &str, id: u32) -> Pcg64Mcg {
    let name = table.bytes().fold(SEED, |hash, b| hash.wrapping_mul(31).wrapping_add(b.into()));
    Pcg64Mcg::seed_from_u64(name ^ (u64::from(id) << 32))
}

fn sellers() -> impl Iterator<Item = Vec<Value>> {
    (1..=SELLERS).map(|id| {
        let town = TOWNS[id as usize % TOWNS.len()];
        values![id, format!("{town} Trading {id}"), town]
    })
}

/// Addresses kept for documentation (RFC 5737): nobody comes from there.
fn banned() -> impl Iterator<Item = Vec<Value>> {
    (1..=254).map(|n| values![format!("203.0.113.{n}")])
}

fn categories() -> impl Iterator<Item = Vec<Value>> {
    (1..=CATEGORIES).map(|id| values![id, format!("Aisle {id}")])
}

fn deliveries() -> impl Iterator<Item = Vec<Value>> {
    (1..=CATEGORIES).map(|id| values![id, 1 + id % 4, 290 + 50 * id])
}

/// Every third category has one.
fn promotions() -> impl Iterator<Item = Vec<Value>> {
    (3..=CATEGORIES).step_by(3).map(|id| values![id, 5 + id])
}

fn products() -> impl Iterator<Item = Vec<Value>> {
    (1..=PRODUCTS).map(|id| {
        let mut random = chance("product", id);
        let look = LOOKS[random.random_range(0..LOOKS.len())];
        let thing = THINGS[random.random_range(0..THINGS.len())];
        let about =
            format!("A {} {}, number {id} of our catalogue.", look.to_lowercase(), thing.to_lowercase());
        let seller = random.random_range(1..=SELLERS);
        values![id, format!("{look} {thing}"), about, 1 + id % CATEGORIES, seller]
    })
}

/// In cents.
fn price(product: u32) -> u32 {
    chance("price", product).random_range(199..=19_999)
}

fn reviews() -> impl Iterator<Item = Vec<Value>> {
    (1..=PRODUCTS * REVIEWS_EACH).map(|id| {
        let mut random = chance("review", id);
        let opinion = OPINIONS[random.random_range(0..OPINIONS.len())];
        values![id, 1 + id % PRODUCTS, random.random_range(1..=5_u32), opinion]
    })
}

fn questions() -> impl Iterator<Item = Vec<Value>> {
    (1..=PRODUCTS).map(|id| {
        let (text, answer) = QUESTIONS[chance("question", id).random_range(0..QUESTIONS.len())];
        values![id, id, text, answer]
    })
}

fn customers() -> impl Iterator<Item = Vec<Value>> {
    let hash = password::hash(PASSWORD.as_bytes(), &SALT);
    (1..=CUSTOMERS).map(move |id| values![id, format!("user-{id}"), SALT, hash])
}

struct Line {
    product: u32,
    quantity: u32,
    cents: u32,
}

/// Of different products, since the second one is the first one's neighbour.
fn lines(order: u32) -> impl Iterator<Item = Line> {
    let mut random = chance("purchase_line", order);
    let first = random.random_range(1..=PRODUCTS - (LINES_EACH - 1));
    (first..first + LINES_EACH).map(move |product| Line {
        product,
        quantity: random.random_range(1..=3),
        cents: price(product),
    })
}

fn order(id: u32) -> Vec<Value> {
    let customer = chance("purchase", id).random_range(1..=CUSTOMERS);
    let at_ms = FIRST_ORDER_MS + i64::from(id) * ORDER_EVERY_MS;
    let cents: u32 = lines(id).map(|l| l.quantity * l.cents).sum();
    values![id, customer, at_ms, cents]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_same_every_time_and_as_many_as_asked_for() {
        let all = |history| {
            let rows = |t: Table| (t.name, t.rows.collect::<Vec<_>>());
            tables(history).into_iter().map(rows).collect::<Vec<_>>()
        };
        let (some, again, more) = (all(300), all(300), all(3_000));
        assert_eq!(some, again);
        for ((name, few), (_, many)) in some.iter().zip(&more) {
            assert_eq!(*few, many[..few.len()], "{name}: more rows change none of the first");
        }
        let count = |name: &str| more.iter().find(|t| t.0 == name).unwrap().1.len();
        assert_eq!(count("purchase") + count("purchase_line"), 3_000);
    }

    #[test]
    fn an_order_costs_what_its_lines_cost() {
        for id in 1..100 {
            let lines: Vec<Line> = lines(id).collect();
            assert_ne!(lines[0].product, lines[1].product);
            assert!(lines.iter().all(|l| (1..=PRODUCTS).contains(&l.product)));
            let sum: u32 = lines.iter().map(|l| l.quantity * l.cents).sum();
            assert_eq!(order(id)[3], Value::from(sum));
        }
    }
}
