//! What the database's server says of itself: its connections, and what is read of its tables.
//!
//! Asked once a second on a connection of its own, as an exporter of metrics does; SQLite has no server, so nobody is asked.
//! Dropping the task ends the connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use agent::{DatabaseMeter, ServerFigures};

use super::StoreError;
use super::link::Link;
use super::pool::Database;
use super::value::{Row, values};

/// From question to question: the server's own figures are no newer (its processes tell theirs once a second).
const EVERY: Duration = Duration::from_secs(1);

/// What belongs to others shows no state, but who it is; that counts as a connection all the same.
const CONNECTIONS: &str = "
    SELECT count(*), count(*) FILTER (WHERE state = 'active'), count(*) FILTER (WHERE wait_event_type = 'Lock'),
      current_setting('max_connections')::bigint
    FROM pg_stat_activity WHERE coalesce(backend_type, 'client backend') = 'client backend' AND usename IS NOT NULL";
const TABLES: &str = "
    SELECT relname::text, seq_scan, coalesce(seq_tup_read, 0), coalesce(idx_tup_fetch, 0)
    FROM pg_stat_user_tables WHERE schemaname = current_schema() AND seq_scan IS NOT NULL";

/// Of a table so far: scans, the rows read by them, and those fetched by way of an index.
type Reads = HashMap<String, [i64; 3]>;

/// Tells `meter` what the server says, for as long as it is polled.
pub async fn watch(database: Arc<Database>, meter: DatabaseMeter) {
    if !database.opener().has_server() {
        return;
    }
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut link, mut before) = (None, None);
    loop {
        ticks.tick().await;
        match ask(&database, &mut link).await {
            Ok((figures, reads)) => {
                meter.set_server(figures);
                tell(&meter, before.replace(reads.clone()), reads);
            }
            Err(_) => {
                // It is full, or away: whoever wants a connection says so. What is not known is not shown.
                link = None;
                meter.set_server(ServerFigures::default());
            }
        }
    }
}

async fn ask(database: &Database, link: &mut Option<Link>) -> Result<(ServerFigures, Reads), StoreError> {
    let link = match link {
        Some(link) => link,
        None => link.insert(database.opener().uncounted().await?),
    };
    let connections = link.rows(CONNECTIONS, values![]).await?.rows;
    let figures = connections.first().map(figures).transpose()?.unwrap_or_default();
    let tables = link.rows(TABLES, values![]).await?.rows;
    let reads = tables.iter().map(|r| Ok((r.get(0)?, [r.get(1)?, r.get(2)?, r.get(3)?])));
    Ok((figures, reads.collect::<Result<_, StoreError>>()?))
}

fn figures(row: &Row) -> Result<ServerFigures, StoreError> {
    let count = |column| Ok::<_, StoreError>(u64::try_from(row.get::<i64>(column)?).ok());
    Ok(ServerFigures { connections: count(0)?, active: count(1)?, waiting: count(2)?, limit: count(3)? })
}

/// What has come since the last time; of a table that is new, nothing yet.
fn tell(meter: &DatabaseMeter, before: Option<Reads>, now: Reads) {
    let Some(before) = before else { return };
    for (table, now) in now {
        if let Some(old) = before.get(&table) {
            // Somebody may have set the figures back.
            let grown = |i: usize| u64::try_from(now[i] - old[i]).unwrap_or(0);
            meter.table_scanned(&table, grown(0), grown(1));
            meter.table_fetched(&table, grown(2));
        }
    }
}
