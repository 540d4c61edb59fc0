//! PostgreSQL: a connection with its driver, and statements over it.
//!
//! Dropping a future of this file is safe: the server finishes the statement, and a transaction that was
//! begun is rolled back before anybody else's statement is sent.

use std::collections::HashMap;
use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, GenericClient, NoTls, RowStream, Statement};

use super::StoreError;
use super::value::{Outcome, Row, Step, Value, resolved};

/// A server that does not answer a connect within this is not there.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// No statement of a shop takes so long, milliseconds; the server ends it.
const STATEMENT_MS: u32 = 30_000;
/// Statements sent before the first one's answer is awaited, when none needs another's answer. Enough to hide
/// the round trip, few enough that neither side's buffers fill.
const PIPELINED: usize = 256;

/// A connection.
pub struct Postgres {
    client: Client,
    prepared: HashMap<&'static str, Statement>,
    /// Its traffic; ends with it.
    _driver: JoinSet<()>,
}

/// Connects to `url`. Statements see the tables of `schema`, when one is given.
///
/// # Errors
/// What the server or the system said; never a password.
pub async fn connect(url: &str, schema: Option<&str>) -> Result<(Client, JoinSet<()>), StoreError> {
    let mut config: Config = url.parse().map_err(StoreError::failed)?;
    config.connect_timeout(CONNECT_PATIENCE).application_name("dyno shop");
    let path = schema.map_or_else(String::new, |s| format!(" -c search_path={s}"));
    config.options(format!("-c statement_timeout={STATEMENT_MS}{path}"));
    let (client, connection) = config.connect(NoTls).await?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Its error reaches whoever has a statement under way.
        let _ = connection.await;
    });
    Ok((client, driver))
}

impl Postgres {
    /// Connects.
    pub async fn open(url: &str, schema: &str) -> Result<Self, StoreError> {
        let (client, driver) = connect(url, Some(schema)).await?;
        Ok(Self { client, prepared: HashMap::new(), _driver: driver })
    }

    /// Has the server or the network ended it?
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// One statement.
    pub async fn rows(&mut self, sql: &'static str, with: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepared(sql).await?;
        let rows = self.client.query_raw(&statement, with).await?;
        rows.map_err(StoreError::from).and_then(|row| std::future::ready(read(&row))).try_collect().await
    }

    /// All steps in one transaction. Steps that need nothing that another one returns are sent together.
    pub async fn together(&mut self, steps: &[Step]) -> Result<Outcome, StoreError> {
        let mut prepared = Vec::with_capacity(steps.len());
        for step in steps {
            prepared.push(self.prepared(step.sql).await?);
        }
        let transaction = self.client.transaction().await?;
        let mut returned: Vec<Option<Value>> = Vec::with_capacity(steps.len());
        while returned.len() < steps.len() {
            let from = returned.len();
            let to = from + free_of(&steps[from..], from);
            let parts = (from..to).map(|n| (prepared[n].clone(), resolved(&steps[n].with, &returned)));
            let answers: Vec<_> = stream::iter(parts.collect::<Vec<_>>())
                .map(|(statement, with)| touch(&transaction, statement, with))
                .buffered(PIPELINED)
                .try_collect()
                .await?;
            for (rows, first) in answers {
                if !steps[returned.len()].accepts(rows) {
                    transaction.rollback().await?;
                    return Ok(Outcome::Stopped(returned.len()));
                }
                returned.push(first);
            }
        }
        transaction.commit().await?;
        Ok(Outcome::Done(returned))
    }

    async fn prepared(&mut self, sql: &'static str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        // The shop's statements say `?1` where PostgreSQL says `$1`; none has a question mark elsewhere.
        let statement = self.client.prepare(&sql.replace('?', "$")).await?;
        self.prepared.insert(sql, statement.clone());
        Ok(statement)
    }
}

/// How many of `steps`, the first of which has number `from`, need nothing that one of them returns. At least one.
fn free_of(steps: &[Step], from: usize) -> usize {
    let needs = |step: &Step| step.with.iter().any(|v| matches!(v, Value::Returned(n) if *n >= from));
    steps.iter().position(needs).unwrap_or(steps.len()).max(1)
}

/// Rows changed or given, and the first column of the first.
async fn touch(
    db: &impl GenericClient,
    statement: Statement,
    with: Vec<Value>,
) -> Result<(u64, Option<Value>), StoreError> {
    let mut rows = pin!(db.query_raw(&statement, with).await?);
    let (mut given, mut first) = (0, None);
    while let Some(row) = rows.as_mut().try_next().await? {
        if given == 0 {
            first = read(&row)?.0.into_iter().next();
        }
        given += 1;
    }
    Ok((if statement.columns().is_empty() { affected(&rows) } else { given }, first))
}

fn affected(rows: &RowStream) -> u64 {
    rows.rows_affected().unwrap_or(0)
}

fn read(row: &tokio_postgres::Row) -> Result<Row, StoreError> {
    let columns = row.columns().iter().enumerate();
    columns.map(|(n, column)| value(row, n, column.type_())).collect::<Result<_, _>>().map(Row)
}

fn value(row: &tokio_postgres::Row, n: usize, kind: &Type) -> Result<Value, StoreError> {
    let found = match *kind {
        Type::INT8 => row.try_get::<_, Option<i64>>(n)?.map(Value::Int),
        Type::INT4 => row.try_get::<_, Option<i32>>(n)?.map(|x| Value::Int(x.into())),
        Type::FLOAT8 => row.try_get::<_, Option<f64>>(n)?.map(Value::Real),
        Type::TEXT | Type::VARCHAR => row.try_get::<_, Option<String>>(n)?.map(Value::Text),
        Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(n)?.map(Value::Bytes),
        ref other => return Err(StoreError::failed(format!("column {n} is of type {other}"))),
    };
    Ok(found.unwrap_or(Value::Null))
}

impl From<tokio_postgres::Error> for StoreError {
    /// The driver's own text says only that the server said something.
    fn from(e: tokio_postgres::Error) -> Self {
        let source = e.source().map_or_else(String::new, |s| format!(": {s}"));
        let why = format!("{e}{source}");
        if e.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) {
            return Self::Deadlock(why.into());
        }
        Self::failed(why)
    }
}

impl ToSql for Value {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null | Self::Returned(_) => Ok(IsNull::Yes),
            Self::Int(n) if *kind == Type::INT4 => i32::try_from(*n)?.to_sql(kind, out),
            Self::Int(n) => n.to_sql(kind, out),
            Self::Real(x) => x.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Bytes(bytes) => bytes.as_slice().to_sql(kind, out),
        }
    }

    /// Which of them fits is known only with the value; the server refuses what does not.
    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::INT4 | Type::FLOAT8 | Type::TEXT | Type::VARCHAR | Type::BYTEA)
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::super::value::values;
    use super::*;

    #[test]
    fn steps_go_out_together_up_to_the_first_that_needs_an_answer() {
        let step = |with| Step::new("", with);
        let steps = [step(values![1_u32]), step(values![]), step(vec![Value::Returned(1)]), step(values![])];
        assert_eq!(free_of(&steps, 0), 2);
        // What it needs is there by then.
        assert_eq!(free_of(&steps[2..], 2), 2);
    }
}
