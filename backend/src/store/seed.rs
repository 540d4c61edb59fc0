//! The first content of the shop: the same on every machine, made in a fraction of a second.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rusqlite::{Connection, Transaction, params};

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

/// Fills an empty database.
pub fn fill(connection: &mut Connection) -> rusqlite::Result<()> {
    let all = connection.transaction()?;
    let mut random = Pcg64Mcg::seed_from_u64(SEED);
    sellers(&all)?;
    categories(&all)?;
    products(&all, &mut random)?;
    reviews(&all, &mut random)?;
    questions(&all, &mut random)?;
    customers(&all)?;
    all.commit()
}

fn sellers(db: &Transaction) -> rusqlite::Result<()> {
    let mut seller = db.prepare("INSERT INTO seller VALUES (?1, ?2, ?3)")?;
    for id in 1..=SELLERS {
        let town = TOWNS[id as usize % TOWNS.len()];
        seller.execute(params![id, format!("{town} Trading {id}"), town])?;
    }
    Ok(())
}

fn categories(db: &Transaction) -> rusqlite::Result<()> {
    let mut category = db.prepare("INSERT INTO category VALUES (?1, ?2)")?;
    let mut delivery = db.prepare("INSERT INTO delivery VALUES (?1, ?2, ?3)")?;
    let mut promotion = db.prepare("INSERT INTO promotion VALUES (?1, ?2)")?;
    for id in 1..=CATEGORIES {
        category.execute(params![id, format!("Aisle {id}")])?;
        delivery.execute(params![id, 1 + id % 4, 290 + 50 * id])?;
        // Every third one has a promotion.
        if id % 3 == 0 {
            promotion.execute(params![id, 5 + id])?;
        }
    }
    Ok(())
}

fn products(db: &Transaction, random: &mut Pcg64Mcg) -> rusqlite::Result<()> {
    let mut product = db.prepare("INSERT INTO product VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut price = db.prepare("INSERT INTO price VALUES (?1, ?2)")?;
    let mut stock = db.prepare("INSERT INTO stock VALUES (?1, ?2)")?;
    for id in 1..=PRODUCTS {
        let look = LOOKS[random.random_range(0..LOOKS.len())];
        let thing = THINGS[random.random_range(0..THINGS.len())];
        let about =
            format!("A {} {}, number {id} of our catalogue.", look.to_lowercase(), thing.to_lowercase());
        let seller = random.random_range(1..=SELLERS);
        product.execute(params![id, format!("{look} {thing}"), about, 1 + id % CATEGORIES, seller])?;
        price.execute(params![id, random.random_range(199..=19_999)])?;
        stock.execute(params![id, STOCK_EACH])?;
    }
    Ok(())
}

fn reviews(db: &Transaction, random: &mut Pcg64Mcg) -> rusqlite::Result<()> {
    let mut review = db.prepare("INSERT INTO review (product, stars, text) VALUES (?1, ?2, ?3)")?;
    for n in 0..PRODUCTS * REVIEWS_EACH {
        let opinion = OPINIONS[random.random_range(0..OPINIONS.len())];
        review.execute(params![1 + n % PRODUCTS, random.random_range(1..=5), opinion])?;
    }
    Ok(())
}

fn questions(db: &Transaction, random: &mut Pcg64Mcg) -> rusqlite::Result<()> {
    let mut question = db.prepare("INSERT INTO question (product, text, answer) VALUES (?1, ?2, ?3)")?;
    for product in 1..=PRODUCTS {
        let (text, answer) = QUESTIONS[random.random_range(0..QUESTIONS.len())];
        question.execute(params![product, text, answer])?;
    }
    Ok(())
}

fn customers(db: &Transaction) -> rusqlite::Result<()> {
    let hash = password::hash(PASSWORD.as_bytes(), &SALT);
    let mut customer = db.prepare("INSERT INTO customer VALUES (?1, ?2, ?3, ?4)")?;
    for id in 1..=CUSTOMERS {
        customer.execute(params![id, format!("user-{id}"), SALT, hash])?;
    }
    Ok(())
}
