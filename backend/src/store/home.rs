//! The home of one backend's data: made and filled by the supervisor, gone when it ends.
//!
//! For SQLite it is a file in a [folder](super::folder) of its own; for PostgreSQL a schema of its own in the
//! database that was named, so that nothing that is there already is touched.

use std::fmt::Write as _;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use rusqlite::{Connection, params_from_iter};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::folder::{self, DatabaseFolder};
use super::seed::{self, Table};
use super::value::Value;
use super::{Place, StoreError, postgres, schema};
use crate::error::BackendError;
use crate::places::DatabaseUrl;
use crate::say::say;

/// Schemas of backends are called so, and then as their run.
const PREFIX: &str = "dyno_shop_";
/// Rows are sent to PostgreSQL in pieces of about this many bytes.
const PIECE: usize = 64 * 1024;
/// Says that somebody lives in the schema of this name, for as long as the connection lives.
const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended($1, 0))";
/// From try to try to have a lost lock back: short, because whoever starts meanwhile finds nobody at home.
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// What is to be made.
pub struct Plan {
    /// Where.
    pub database: DatabaseUrl,
    /// Name of this run of the backend: two numbers and an underscore between them.
    pub run: String,
    /// Rows of past orders and their lines.
    pub history: u32,
}

/// The data while the backend runs. Ask it to [`leave`](Home::leave) at the end; what is dropped without that is
/// cleared away by the next backend.
pub enum Home {
    /// Removed with all its content when dropped.
    Folder(DatabaseFolder),
    /// A schema, and the lock that says that somebody lives there.
    Schema(Box<Schema>),
}

/// A schema of a backend that runs.
pub struct Schema {
    url: String,
    name: String,
    /// The task that keeps the lock. It gives the connection that has it back when it is told to leave.
    keeping: JoinSet<Option<Keeper>>,
    leaving: Arc<Notify>,
}

/// A connection that has the lock, and its driver, which ends with it.
type Keeper = (Client, JoinSet<()>);

/// Makes the home of `plan` and fills it.
///
/// # Errors
/// Of the file system or the database: mostly a full disk, a server that is not there, or a wrong password.
pub async fn make(plan: Plan) -> Result<Home, BackendError> {
    match plan.database {
        DatabaseUrl::Sqlite => {
            let made = tokio::task::spawn_blocking(move || {
                let folder = folder::create()?;
                fill_sqlite(&folder.file(), plan.history).map_err(|e| BackendError::Store {
                    what: "the embedded database".to_owned(),
                    source: e.into(),
                })?;
                Ok(folder)
            });
            let made = made.await.map_err(|e| BackendError::system("make the database")(e.into()))?;
            made.map(Home::Folder)
        }
        DatabaseUrl::Postgres(url) => {
            let schema = make_schema(url.reveal(), &plan.run, plan.history).await;
            Ok(Home::Schema(Box::new(
                schema
                    .map_err(|source| BackendError::Store { what: format!("PostgreSQL at {url}"), source })?,
            )))
        }
    }
}

impl Home {
    /// Where workers find it.
    pub fn place(&self) -> Place {
        match self {
            Self::Folder(folder) => Place::Sqlite { file: folder.file() },
            Self::Schema(schema) => Place::Postgres { url: schema.url.clone(), schema: schema.name.clone() },
        }
    }

    /// Clears it away.
    pub async fn leave(self) {
        if let Self::Schema(mut schema) = self
            && let Err(e) = schema.clear().await
        {
            say(format_args!("backend: schema {} is left behind: {e}", schema.name));
        }
    }
}

impl Schema {
    /// Drops it over the connection that has the lock, or over a new one when that is lost.
    async fn clear(&mut self) -> Result<(), StoreError> {
        self.leaving.notify_one();
        let kept = self.keeping.join_next().await.and_then(Result::ok).flatten();
        let (client, _driver) = match kept.filter(|(client, _)| !client.is_closed()) {
            Some(kept) => kept,
            None => postgres::connect(&self.url, None).await?,
        };
        Ok(client.batch_execute(&drop_schema(&self.name)).await?)
    }
}

/// Keeps the lock of schema `name` until it is told to leave, and gives the connection that has it then. A server that is
/// started again ends all connections, and anybody may end an idle one: the lock goes with it, and is taken again.
async fn keep_lock(mut keeper: Keeper, url: String, name: String, leaving: Arc<Notify>) -> Option<Keeper> {
    let mut told = pin!(leaving.notified());
    loop {
        tokio::select! {
            () = &mut told => return Some(keeper),
            _ = keeper.1.join_next() => {}
        }
        keeper = tokio::select! {
            () = &mut told => return None,
            again = lock_again(&url, &name) => again,
        };
    }
}

/// Tries until it has the lock. That the server is away or full is said by those who have work for it.
async fn lock_again(url: &str, name: &str) -> Keeper {
    loop {
        if let Ok(keeper) = lock(url, name).await {
            return keeper;
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
}

async fn lock(url: &str, name: &str) -> Result<Keeper, StoreError> {
    let keeper = postgres::connect(url, Some(name)).await?;
    keeper.0.execute(LOCK, &[&name]).await?;
    Ok(keeper)
}

fn drop_schema(name: &str) -> String {
    format!("DROP SCHEMA IF EXISTS {name} CASCADE")
}

fn fill_sqlite(file: &Path, history: u32) -> rusqlite::Result<()> {
    let mut connection = Connection::open(file)?;
    // Nobody reads it yet: its log need not be on the disk, from where every page would be written once more.
    connection.pragma_update(None, "journal_mode", "memory")?;
    connection.pragma_update(None, "synchronous", "off")?;
    connection.execute_batch(&schema::sqlite_tables())?;
    let all = connection.transaction()?;
    for table in seed::tables(history) {
        let holes: Vec<String> = (1..=table.columns.len()).map(|n| format!("?{n}")).collect();
        let columns = table.columns.join(", ");
        let sql = format!("INSERT INTO {} ({columns}) VALUES ({})", table.name, holes.join(", "));
        let mut insert = all.prepare(&sql)?;
        for row in table.rows {
            insert.execute(params_from_iter(&row))?;
        }
    }
    all.execute_batch(schema::INDEXES)?;
    all.execute_batch(schema::ORDERS_INDEX.create)?;
    all.commit()?;
    // Readers and a writer work at once.
    connection.pragma_update(None, "journal_mode", "wal")
}

async fn make_schema(url: &str, run: &str, history: u32) -> Result<Schema, StoreError> {
    let name = format!("{PREFIX}{run}");
    let (mut keeper, driver) = postgres::connect(url, Some(&name)).await?;
    sweep(&keeper).await?;
    // Held as long as this connection lives, so even a killed backend lets go of it.
    keeper.execute(LOCK, &[&name]).await?;
    keeper.batch_execute(&format!("CREATE SCHEMA {name}")).await?;
    if let Err(e) = fill_postgres(&mut keeper, history).await {
        let _ = keeper.batch_execute(&drop_schema(&name)).await;
        return Err(e);
    }
    let leaving = Arc::new(Notify::new());
    let mut keeping = JoinSet::new();
    keeping.spawn(keep_lock((keeper, driver), url.to_owned(), name.clone(), leaving.clone()));
    Ok(Schema { url: url.to_owned(), name, keeping, leaving })
}

/// Clears away schemas in which nobody lives any more. Only those are taken for a backend's whose whole name is of a run's
/// form: whatever else begins like it, as the twin's schema does, is somebody else's. One that cannot be cleared, mostly
/// another role's, is left to others.
async fn sweep(keeper: &Client) -> Result<(), StoreError> {
    let form = format!("^{PREFIX}[0-9]+_[0-9]+$");
    let named = keeper.query("SELECT nspname::text FROM pg_namespace WHERE nspname ~ $1", &[&form]).await?;
    for row in named {
        let name: String = row.try_get(0)?;
        let free = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";
        if keeper.query_one(free, &[&name]).await?.try_get(0)? {
            if let Err(e) = keeper.batch_execute(&drop_schema(&name)).await {
                say(format_args!("backend: schema {name} is not cleared away: {}", StoreError::from(e)));
            }
            keeper.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", &[&name]).await?;
        }
    }
    Ok(())
}

async fn fill_postgres(keeper: &mut Client, history: u32) -> Result<(), StoreError> {
    let all = keeper.transaction().await?;
    // A large data set takes longer than any statement of the shop.
    all.batch_execute("SET LOCAL statement_timeout = 0").await?;
    all.batch_execute(&schema::postgres_tables()).await?;
    let mut names = Vec::new();
    for table in seed::tables(history) {
        let (name, numbered) = (table.name, table.numbered);
        copy(&all, table).await?;
        names.push(name);
        if numbered {
            let next = format!(
                "SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM {name}), false)"
            );
            all.execute(&next, &[]).await?;
        }
    }
    all.batch_execute(schema::INDEXES).await?;
    all.batch_execute(schema::ORDERS_INDEX.create).await?;
    // Without figures about its tables the planner would guess. Those of others are theirs.
    all.batch_execute(&format!("ANALYZE {}", names.join(", "))).await?;
    Ok(all.commit().await?)
}

async fn copy(all: &tokio_postgres::Transaction<'_>, table: Table) -> Result<(), StoreError> {
    let into = format!("COPY {} ({}) FROM STDIN", table.name, table.columns.join(", "));
    let sink = all.copy_in::<_, Bytes>(&into).await?;
    let mut sink = std::pin::pin!(sink);
    let mut text = String::with_capacity(2 * PIECE);
    for row in table.rows {
        write_row(&mut text, &row);
        if text.len() >= PIECE {
            sink.send(BytesMut::from(text.as_bytes()).freeze()).await?;
            text.clear();
        }
    }
    sink.send(Bytes::from(text)).await?;
    sink.finish().await?;
    Ok(())
}

/// In the text form of COPY: fields end with a tab, rows with a line feed, a backslash escapes.
fn write_row(text: &mut String, row: &[Value]) {
    for (n, value) in row.iter().enumerate() {
        if n > 0 {
            text.push('\t');
        }
        let done = match value {
            Value::Null | Value::Returned(_) => text.write_str("\\N"),
            Value::Int(n) => write!(text, "{n}"),
            Value::Real(x) => write!(text, "{x}"),
            Value::Text(t) => t.chars().try_for_each(|c| match c {
                '\\' => text.write_str("\\\\"),
                '\t' => text.write_str("\\t"),
                '\n' => text.write_str("\\n"),
                '\r' => text.write_str("\\r"),
                other => text.write_char(other),
            }),
            Value::Bytes(bytes) => {
                text.push_str("\\\\x");
                bytes.iter().try_for_each(|b| write!(text, "{b:02x}"))
            }
        };
        done.expect("writing to a string cannot fail");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::value::values;
    use super::*;

    #[test]
    fn a_row_is_written_as_copy_reads_it() {
        let mut text = String::new();
        let mut row = values![7_u32, "a\tb\\c\nd\re", [0_u8, 255]];
        row.push(Value::Null);
        write_row(&mut text, &row);
        assert_eq!(text, "7\ta\\tb\\\\c\\nd\\re\t\\\\x00ff\t\\N\n");
    }

    #[test]
    fn the_folder_is_filled() {
        let folder = folder::create().unwrap();
        fill_sqlite(&folder.file(), 300).unwrap();
        let db = Connection::open(folder.file()).unwrap();
        let count = |table: &str| -> u32 {
            db.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0)).unwrap()
        };
        assert_eq!((count("product"), count("customer")), (seed::PRODUCTS, seed::CUSTOMERS));
        assert_eq!((count("purchase"), count("purchase_line")), (100, 200));
    }
}
