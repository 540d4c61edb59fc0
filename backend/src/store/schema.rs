//! The tables of the shop. Every look-up that a route makes has its index.

use rusqlite::Connection;

const TABLES: &str = "
CREATE TABLE seller (id INTEGER PRIMARY KEY, name TEXT NOT NULL, town TEXT NOT NULL) STRICT;
CREATE TABLE product (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, about TEXT NOT NULL, category INTEGER NOT NULL,
  seller INTEGER NOT NULL REFERENCES seller) STRICT;
CREATE INDEX product_by_category ON product (category);
CREATE INDEX product_by_seller ON product (seller);
CREATE TABLE price (product INTEGER PRIMARY KEY REFERENCES product, cents INTEGER NOT NULL) STRICT;
CREATE TABLE stock (product INTEGER PRIMARY KEY REFERENCES product, quantity INTEGER NOT NULL CHECK (quantity >= 0)) STRICT;
CREATE TABLE category (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE promotion (category INTEGER PRIMARY KEY, percent INTEGER NOT NULL) STRICT;
CREATE TABLE delivery (category INTEGER PRIMARY KEY, days INTEGER NOT NULL, cents INTEGER NOT NULL) STRICT;
CREATE TABLE review (
  id INTEGER PRIMARY KEY, product INTEGER NOT NULL REFERENCES product, stars INTEGER NOT NULL, text TEXT NOT NULL) STRICT;
CREATE INDEX review_by_product ON review (product);
CREATE TABLE question (
  id INTEGER PRIMARY KEY, product INTEGER NOT NULL REFERENCES product, text TEXT NOT NULL, answer TEXT NOT NULL) STRICT;
CREATE INDEX question_by_product ON question (product);
CREATE TABLE customer (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, salt BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE TABLE session (id BLOB PRIMARY KEY, customer INTEGER NOT NULL, since_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX session_by_age ON session (since_ms);
CREATE TABLE cart (
  session BLOB NOT NULL, product INTEGER NOT NULL, quantity INTEGER NOT NULL,
  PRIMARY KEY (session, product)) STRICT, WITHOUT ROWID;
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL, at_ms INTEGER NOT NULL, cents INTEGER NOT NULL) STRICT;
CREATE INDEX purchase_by_customer ON purchase (customer);
CREATE TABLE purchase_line (
  purchase INTEGER NOT NULL, product INTEGER NOT NULL, quantity INTEGER NOT NULL, cents INTEGER NOT NULL,
  PRIMARY KEY (purchase, product)) STRICT, WITHOUT ROWID;
CREATE TABLE offer (sku TEXT PRIMARY KEY, name TEXT NOT NULL, cents INTEGER NOT NULL, quantity INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// How long a statement waits for another process that writes, milliseconds. Transactions are
/// single statements long, so this is reached only when something else is wrong.
const BUSY_MS: u32 = 2_000;

/// Makes all tables in an empty database, and lets readers and a writer work at once.
pub fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.execute_batch(TABLES)
}

/// What every connection needs. `NORMAL` with a write-ahead log: a killed process loses nothing
/// committed, and no commit waits for the disk.
pub fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "busy_timeout", BUSY_MS)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A statement of this shop fits; the default of 128 would keep far more than is used.
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}
