//! Dialects: the metrics of known libraries and exporters, as data.
//!
//! Owns the table. One dialect is what one library writes; where a page speaks two for the same lane, the one that
//! stands further up here fills it, so that nothing is counted twice. Not in it: what a library fakes or cannot know
//! (`dotnet_collection_count` counts a collection once more for each younger generation, so only the oldest one's is), and what no lane stands for (a wait of which only
//! the longest is told: `pgbouncer_pools_client_maxwait`).
//!
//! To add a library: a constant with where its names come from, and its line in [`ALL`].

use timeline::Unit;
use timeline::event::kinds;
use timeline::lane::names;

use super::rules::{Part, Rule, Take};

/// What one library writes.
pub(super) struct Dialect {
    /// For people: library and version whose source was read.
    pub about: &'static str,
    pub whose: Whose,
    pub rules: &'static [Rule],
}

/// Of whom a dialect's metrics speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Of the process that serves the page.
    Servers,
    /// The same, and exporters are made with it: on an exporter's page they are the exporter's own.
    Exporters,
    /// Of another process.
    Another,
}

const fn library(about: &'static str, rules: &'static [Rule]) -> Dialect {
    Dialect { about, whose: Whose::Servers, rules }
}

const fn runtime_of_exporters(about: &'static str, rules: &'static [Rule]) -> Dialect {
    Dialect { about, whose: Whose::Exporters, rules }
}

const fn exporter(about: &'static str, rules: &'static [Rule]) -> Dialect {
    Dialect { about, whose: Whose::Another, rules }
}

/// Number of the given mapping among [`ALL`]: a scenario's, or that of a file of its own.
pub(super) const OWN: usize = 0;

/// All of them, the preferred first.
pub(super) static ALL: &[Dialect] = &[
    library("the given mapping", &[]), // its rules are `own`'s
    library("prom-client 15 (Node.js)", PROM_CLIENT),
    library("OpenTelemetry, Node.js", OTEL_NODE),
    library("Micrometer 1.14 (JVM)", MICROMETER),
    library("HikariCP's own collectors", HIKARI),
    library("OpenTelemetry, JVM", OTEL_JVM),
    runtime_of_exporters("client_golang, Go runtime metrics", GO_RUNTIME),
    runtime_of_exporters("client_golang, runtime metrics before Go 1.22", GO_RUNTIME_OLD),
    runtime_of_exporters("client_golang 1.20 (Go)", GO),
    runtime_of_exporters("OpenTelemetry, Go", OTEL_GO),
    library("OpenTelemetry, .NET", OTEL_DOTNET),
    library("prometheus-net 8 (.NET)", PROMETHEUS_NET),
    library("OpenTelemetry, clients of databases and servers of HTTP", OTEL_COMMON),
    library("common HTTP middleware", HTTP),
    runtime_of_exporters("prometheus_client 0.25 (Python)", PYTHON),
    runtime_of_exporters("Prometheus client libraries, of their process", PROCESS),
    exporter("postgres_exporter 0.15", POSTGRES),
    exporter("PgBouncer exporter 0.10", PGBOUNCER),
    exporter("redis_exporter 1.66", REDIS),
    exporter("RabbitMQ 3.8 and later, rabbitmq_prometheus", RABBITMQ),
];

const BYTES: Unit = Unit::Bytes;
const COUNT: Unit = Unit::Count;
const PER_S: Unit = Unit::PerSecond;
const NS: Unit = Unit::Ns;

/// lib/metrics/{heapSizeAndUsed,heapSpacesSizeAndUsed,gc,eventLoopLag}.js. Space names have lost their `_space`. Its young and old are
/// those of the twin's agent. The GC histogram counts about a quarter of the events (measured: 26%), a lag of zero load is its resolution.
const PROM_CLIENT: &[Rule] = &[
    Rule::level("nodejs_heap_size_used", BYTES, names::HEAP_USED),
    Rule::level("nodejs_heap_size_total", BYTES, names::HEAP_CAPACITY),
    Rule::level("nodejs_heap_space_size_used", BYTES, names::HEAP_YOUNG).when(&[("space", &["^new"])]),
    Rule::level("nodejs_heap_space_size_used", BYTES, names::HEAP_OLD)
        .when(&[("space", &["^old", "^large_object"])]),
    Rule::pauses("nodejs_gc_duration", kinds::PAUSE_MINOR).when(&[("kind", &["minor"])]),
    Rule::pauses("nodejs_gc_duration", kinds::PAUSE_MAJOR).when(&[("kind", &["major"])]),
    Rule::level("nodejs_eventloop_lag_max", NS, names::LOOP_DELAY_LONGEST).worst().never_zero(),
    Rule::level("nodejs_eventloop_lag_p99", NS, names::LOOP_DELAY_P99).worst().never_zero(),
    // prometheus exporters of `pg` (several packages share these names).
    Rule::level("pg_pool_max", COUNT, "pool.*.capacity").member(POOL),
    Rule::level("pg_pool_active_connections", COUNT, "pool.*.in-use").member(POOL),
    Rule::level("pg_pool_idle_connections", COUNT, "pool.*.idle").member(POOL),
    Rule::level("pg_pool_waiting_connections", COUNT, "pool.*.waiters").member(POOL),
];

/// Semantic conventions 1.37, docs/runtime/{v8js,nodejs}-metrics.md (status: development); older names carried `v8js_heap_space`.
const OTEL_NODE: &[Rule] = &[
    Rule::level("v8js_memory_heap_used", BYTES, names::HEAP_USED),
    Rule::level("v8js_memory_heap_used", BYTES, names::HEAP_YOUNG)
        .when(&[("v8js_heap_space_name", &["^new"])]),
    Rule::level("v8js_memory_heap_used", BYTES, names::HEAP_OLD)
        .when(&[("v8js_heap_space_name", &["^old", "^large_object"])]),
    Rule::level("v8js_memory_heap_limit", BYTES, names::HEAP_CAPACITY),
    Rule::pauses("v8js_gc_duration", kinds::PAUSE_MINOR).when(&[("v8js_gc_type", &["minor"])]),
    Rule::pauses("v8js_gc_duration", kinds::PAUSE_MAJOR).when(&[("v8js_gc_type", &["major"])]),
    Rule::level("nodejs_eventloop_delay_max", NS, names::LOOP_DELAY_LONGEST).worst().never_zero(),
    Rule::level("nodejs_eventloop_delay_p99", NS, names::LOOP_DELAY_P99).worst().never_zero(),
    Rule::level("nodejs_eventloop_utilization", Unit::Ratio, names::LOOP_UTILISATION).worst(),
];

const POOL: &[&str] = &["pool", "pool_name", "name", "db"];
const CACHE: &[&str] = &["cache", "cache_name", "name", "cache"];
const YOUNG: &[&str] = &["Eden", "Survivor", "Young", "nursery-allocate", "nursery-survivor"];
const OLD: &[&str] = &["Old Gen", "Old Generation", "Tenured"];

/// JvmMemoryMetrics, JvmGcMetrics, ExecutorServiceMetrics, CacheMeterBinder, TomcatMetrics; pool names are the collector's own
/// (`G1 Old Gen`, `PS Old Gen`, `Tenured Gen`, `ZGC Old Generation`). HikariCP: MicrometerMetricsTracker.
const MICROMETER: &[Rule] = &[
    Rule::level("jvm_memory_used", BYTES, names::HEAP_USED).when(&[("area", &["^heap"])]),
    Rule::level("jvm_memory_used", BYTES, names::HEAP_YOUNG).when(&[("area", &["^heap"]), ("id", YOUNG)]),
    Rule::level("jvm_memory_used", BYTES, names::HEAP_OLD).when(&[("area", &["^heap"]), ("id", OLD)]),
    Rule::level("jvm_memory_used", BYTES, "heap.metaspace.used")
        .when(&[("area", &["nonheap"]), ("id", &["Metaspace"])]),
    Rule::level("jvm_memory_committed", BYTES, names::HEAP_CAPACITY).when(&[("area", &["^heap"])]),
    Rule::level("jvm_memory_max", BYTES, names::HEAP_LIMIT).when(&[("area", &["^heap"])]).never_zero(),
    Rule::level("jvm_gc_live_data_size", BYTES, names::HEAP_LIVE),
    Rule::rate("jvm_gc_memory_allocated", Unit::BytesPerSecond, names::HEAP_ALLOCATED),
    Rule::rate("jvm_gc_memory_promoted", Unit::BytesPerSecond, names::HEAP_PROMOTED),
    Rule::pauses("jvm_gc_pause", kinds::PAUSE_MINOR).when(&[("action", &["minor"])]),
    Rule::pauses("jvm_gc_pause", kinds::PAUSE_MAJOR).when(&[("action", &["major"])]),
    Rule::pauses("jvm_gc_pause", kinds::PAUSE_STOP_THE_WORLD).when(&[("action", &["GC pause"])]), // ZGC, Shenandoah
    Rule::level("hikaricp_connections_active", COUNT, "pool.*.in-use").member(POOL),
    Rule::level("hikaricp_connections_idle", COUNT, "pool.*.idle").member(POOL),
    Rule::level("hikaricp_connections_pending", COUNT, "pool.*.waiters").member(POOL),
    Rule::level("hikaricp_connections_max", COUNT, "pool.*.capacity").member(POOL),
    Rule::durations("hikaricp_connections_acquire", "pool.*.wait").member(POOL),
    Rule::durations("hikaricp_connections_usage", "pool.*.hold").member(POOL),
    Rule::of("hikaricp_connections_usage", Take::Calls, "pool.*.acquired").member(POOL),
    Rule::of("hikaricp_connections_creation", Take::Calls, "pool.*.opened").member(POOL),
    Rule::rate("hikaricp_connections_timeout", PER_S, "pool.*.timeouts").member(POOL),
    // Spring Boot's DataSourcePoolMetadata, for other pools (tomcat-jdbc, dbcp2). It tells no waiters.
    Rule::level("jdbc_connections_active", COUNT, "pool.*.in-use").member(POOL),
    Rule::level("jdbc_connections_max", COUNT, "pool.*.capacity").member(POOL),
    Rule::level("jdbc_connections_idle", COUNT, "pool.*.idle").member(POOL),
    Rule::rate("cache_gets", PER_S, "cache.*.hits").when(&[("result", &["hit"])]).member(CACHE),
    Rule::rate("cache_gets", PER_S, "cache.*.misses").when(&[("result", &["miss"])]).member(CACHE),
    Rule::rate("cache_evictions", PER_S, "cache.*.evictions").member(CACHE),
    Rule::level("cache_size", COUNT, "cache.*.entries").member(CACHE),
    Rule::rate("cache_load", PER_S, "cache.*.loads").member(CACHE),
    Rule::level("executor_active_threads", COUNT, names::OFFLOAD_BUSY).about(&["name"]),
    Rule::level("executor_active", COUNT, names::OFFLOAD_BUSY).about(&["name"]),
    Rule::level("executor_pool_max_threads", COUNT, names::OFFLOAD_CAPACITY).about(&["name"]),
    Rule::level("executor_queued_tasks", COUNT, names::OFFLOAD_QUEUED).about(&["name"]),
    Rule::level("executor_queued", COUNT, names::OFFLOAD_QUEUED).about(&["name"]),
    Rule::durations("executor_idle", names::OFFLOAD_WAIT).about(&["name"]),
    Rule::durations("executor", names::OFFLOAD_RUN).about(&["name"]),
    Rule::level("tomcat_threads_busy_threads", COUNT, names::OFFLOAD_BUSY).about(&["name"]),
    Rule::level("tomcat_threads_config_max_threads", COUNT, names::OFFLOAD_CAPACITY).about(&["name"]),
    Rule::level("jetty_threads_busy", COUNT, names::OFFLOAD_BUSY),
    Rule::level("jetty_threads_config_max", COUNT, names::OFFLOAD_CAPACITY),
    Rule::level("jetty_threads_jobs", COUNT, names::OFFLOAD_QUEUED),
    Rule::durations("http_server_requests", names::SERVER_HANDLER).about(&["uri"]),
    Rule::of("http_server_requests", Take::Calls, names::SERVER_REQUESTS).about(&["uri"]),
];

/// com.zaxxer.hikari.metrics.prometheus.{HikariCPCollector,PrometheusMetricsTracker}: other names for the same figures.
const HIKARI: &[Rule] = &[
    Rule::level("hikaricp_active_connections", COUNT, "pool.*.in-use").member(POOL),
    Rule::level("hikaricp_idle_connections", COUNT, "pool.*.idle").member(POOL),
    Rule::level("hikaricp_pending_threads", COUNT, "pool.*.waiters").member(POOL),
    Rule::level("hikaricp_max_connections", COUNT, "pool.*.capacity").member(POOL),
    Rule::durations("hikaricp_connection_acquired", "pool.*.wait").member(POOL),
    Rule::durations("hikaricp_connection_usage", "pool.*.hold").member(POOL),
    Rule::of("hikaricp_connection_usage", Take::Calls, "pool.*.acquired").member(POOL),
    Rule::rate("hikaricp_connection_timeout", PER_S, "pool.*.timeouts").member(POOL),
];

/// Semantic conventions 1.37, docs/runtime/jvm-metrics.md (stable).
const OTEL_JVM: &[Rule] = &[
    Rule::level("jvm_memory_used", BYTES, names::HEAP_USED).when(&[("jvm_memory_type", &["^heap"])]),
    Rule::level("jvm_memory_used", BYTES, names::HEAP_YOUNG).when(&[("jvm_memory_pool_name", YOUNG)]),
    Rule::level("jvm_memory_used", BYTES, names::HEAP_OLD).when(&[("jvm_memory_pool_name", OLD)]),
    Rule::level("jvm_memory_used", BYTES, "heap.metaspace.used")
        .when(&[("jvm_memory_pool_name", &["Metaspace"])]),
    Rule::level("jvm_memory_committed", BYTES, names::HEAP_CAPACITY).when(&[("jvm_memory_type", &["^heap"])]),
    Rule::level("jvm_memory_limit", BYTES, names::HEAP_LIMIT)
        .when(&[("jvm_memory_type", &["^heap"])])
        .never_zero(),
    Rule::level("jvm_memory_used_after_last_gc", BYTES, names::HEAP_LIVE)
        .when(&[("jvm_memory_pool_name", OLD)]),
    Rule::pauses("jvm_gc_duration", kinds::PAUSE_MINOR).when(&[("jvm_gc_action", &["minor"])]),
    Rule::pauses("jvm_gc_duration", kinds::PAUSE_MAJOR).when(&[("jvm_gc_action", &["major"])]),
];

/// prometheus/collectors.WithGoCollectorRuntimeMetrics: names of Go's package runtime/metrics, `/` and `-` as underscores.
const GO_RUNTIME: &[Rule] = &[
    Rule::level("go_memory_classes_heap_objects", BYTES, names::HEAP_USED),
    Rule::level("go_gc_heap_live", BYTES, names::HEAP_LIVE),
    Rule::rate("go_gc_heap_allocs", Unit::BytesPerSecond, names::HEAP_ALLOCATED),
    Rule::pauses("go_sched_pauses_total_gc", kinds::PAUSE_STOP_THE_WORLD),
    Rule::durations("go_sched_latencies", names::LOOP_DELAY),
];

/// Go 1.22 and later tell these pauses under both names.
const GO_RUNTIME_OLD: &[Rule] = &[Rule::pauses("go_gc_pauses", kinds::PAUSE_STOP_THE_WORLD)];

/// prometheus/go_collector.go, collectors/dbstats_collector.go. Go's heap has no generations; its pauses are a summary of each
/// collection's whole pause.
const GO: &[Rule] = &[
    Rule::level("go_memstats_heap_alloc", BYTES, names::HEAP_USED),
    Rule::level("go_memstats_heap_sys", BYTES, names::HEAP_CAPACITY),
    Rule::rate("go_memstats_alloc", Unit::BytesPerSecond, names::HEAP_ALLOCATED).total(),
    Rule::pauses("go_gc_duration", kinds::PAUSE_STOP_THE_WORLD),
    Rule::level("go_sql_max_open_connections", COUNT, "pool.*.capacity").member(&["db_name", "db"]),
    Rule::level("go_sql_in_use_connections", COUNT, "pool.*.in-use").member(&["db_name", "db"]),
    Rule::level("go_sql_idle_connections", COUNT, "pool.*.idle").member(&["db_name", "db"]),
    // Of those that had to wait: while the pool is full these are nearly all.
    Rule::durations("go_sql_wait_duration", "pool.*.wait").part(Part::Sum).member(&["db_name", "db"]),
    Rule::durations("go_sql_wait_count", "pool.*.wait").part(Part::Count).member(&["db_name", "db"]),
];

/// Semantic conventions 1.37, docs/runtime/go-metrics.md. `goal` is what the heap may take until its next collection.
const OTEL_GO: &[Rule] = &[
    Rule::level("go_memory_used", BYTES, names::HEAP_USED).when(&[("go_memory_type", &["other"])]),
    Rule::level("go_memory_gc_goal", BYTES, names::HEAP_CAPACITY),
    Rule::rate("go_memory_allocated", Unit::BytesPerSecond, names::HEAP_ALLOCATED),
    Rule::pauses("go_memory_gc_pause_duration", kinds::PAUSE_STOP_THE_WORLD),
    Rule::durations("go_schedule_duration", names::LOOP_DELAY),
];

/// Semantic conventions 1.37, docs/runtime/dotnet-metrics.md (stable). `last_collection` is what the collection left.
const OTEL_DOTNET: &[Rule] = &[
    Rule::level("dotnet_gc_last_collection_heap_size", BYTES, names::HEAP_USED),
    Rule::level("dotnet_gc_last_collection_heap_size", BYTES, names::HEAP_YOUNG)
        .when(&[("gc_heap_generation", &["gen0", "gen1"])]),
    Rule::level("dotnet_gc_last_collection_heap_size", BYTES, names::HEAP_YOUNG)
        .when(&[("dotnet_gc_heap_generation", &["gen0", "gen1"])]),
    Rule::level("dotnet_gc_last_collection_heap_size", BYTES, names::HEAP_OLD)
        .when(&[("gc_heap_generation", &["gen2", "loh", "poh"])]),
    Rule::level("dotnet_gc_last_collection_heap_size", BYTES, names::HEAP_OLD)
        .when(&[("dotnet_gc_heap_generation", &["gen2", "loh", "poh"])]),
    Rule::rate("dotnet_gc_heap_total_allocated", Unit::BytesPerSecond, names::HEAP_ALLOCATED),
    Rule::collections("dotnet_gc_collections", "minor").when(&[("gc_heap_generation", &["gen0", "gen1"])]),
    Rule::collections("dotnet_gc_collections", "minor")
        .when(&[("dotnet_gc_heap_generation", &["gen0", "gen1"])]),
    Rule::collections("dotnet_gc_collections", "major").when(&[("gc_heap_generation", &["gen2"])]),
    Rule::collections("dotnet_gc_collections", "major").when(&[("dotnet_gc_heap_generation", &["gen2"])]),
    Rule::rate("dotnet_gc_pause_time", Unit::Ratio, names::PAUSE_COLLECTING).worst(),
    Rule::level("dotnet_thread_pool_queue_length", COUNT, names::OFFLOAD_QUEUED),
    Rule::level("dotnet_thread_pool_thread_count", COUNT, names::OFFLOAD_CAPACITY),
];

/// Prometheus.NetStandard/DotNetStats.cs.
const PROMETHEUS_NET: &[Rule] = &[
    Rule::level("dotnet_total_memory", BYTES, names::HEAP_USED),
    Rule::collections("dotnet_collection_count", "major").when(&[("generation", &["=2"])]),
];

const OTEL_POOL: &[&str] = &["db_client_connection_pool_name", "pool_name", "db"];

/// Semantic conventions 1.37, docs/database/database-metrics.md and docs/http/http-metrics.md; `connections` are the names before 1.26.
const OTEL_COMMON: &[Rule] = &[
    Rule::level("db_client_connection_count", COUNT, "pool.*.in-use")
        .when(&[("db_client_connection_state", &["used"])])
        .member(OTEL_POOL),
    Rule::level("db_client_connection_count", COUNT, "pool.*.idle")
        .when(&[("db_client_connection_state", &["idle"])])
        .member(OTEL_POOL),
    Rule::level("db_client_connection_max", COUNT, "pool.*.capacity").member(OTEL_POOL),
    Rule::level("db_client_connection_pending_requests", COUNT, "pool.*.waiters").member(OTEL_POOL),
    Rule::rate("db_client_connection_timeouts", PER_S, "pool.*.timeouts").member(OTEL_POOL),
    Rule::durations("db_client_connection_wait_time", "pool.*.wait").member(OTEL_POOL),
    Rule::durations("db_client_connection_use_time", "pool.*.hold").member(OTEL_POOL),
    Rule::of("db_client_connection_use_time", Take::Calls, "pool.*.acquired").member(OTEL_POOL),
    Rule::of("db_client_connection_create_time", Take::Calls, "pool.*.opened").member(OTEL_POOL),
    Rule::level("db_client_connections_usage", COUNT, "pool.*.in-use")
        .when(&[("state", &["used"])])
        .member(OTEL_POOL),
    Rule::level("db_client_connections_usage", COUNT, "pool.*.idle")
        .when(&[("state", &["idle"])])
        .member(OTEL_POOL),
    Rule::level("db_client_connections_max", COUNT, "pool.*.capacity").member(OTEL_POOL),
    Rule::level("db_client_connections_pending_requests", COUNT, "pool.*.waiters").member(OTEL_POOL),
    Rule::durations("db_client_connections_wait_time", "pool.*.wait").member(OTEL_POOL),
    Rule::durations("db_client_connections_use_time", "pool.*.hold").member(OTEL_POOL),
    Rule::level("http_server_active_requests", COUNT, names::SERVER_IN_FLIGHT),
    Rule::durations("http_server_request_duration", names::SERVER_HANDLER).about(&["http_route"]),
    Rule::of("http_server_request_duration", Take::Calls, names::SERVER_REQUESTS).about(&["http_route"]),
];

/// express-prom-bundle, fastify-metrics, prometheus-fastapi-instrumentator, prometheus-flask-exporter and Go's usual middleware agree on one
/// name; django-prometheus and starlette_exporter have their own.
const HTTP: &[Rule] = &[
    Rule::durations("http_request_duration", names::SERVER_HANDLER).about(ROUTE),
    Rule::of("http_request_duration", Take::Calls, names::SERVER_REQUESTS).about(ROUTE),
    Rule::durations("django_http_requests_latency_seconds_by_view_method", names::SERVER_HANDLER)
        .about(ROUTE),
    Rule::of("django_http_requests_latency_seconds_by_view_method", Take::Calls, names::SERVER_REQUESTS)
        .about(ROUTE),
    Rule::durations("starlette_request_duration", names::SERVER_HANDLER).about(ROUTE),
    Rule::of("starlette_request_duration", Take::Calls, names::SERVER_REQUESTS).about(ROUTE),
];
const ROUTE: &[&str] = &["route", "path", "handler", "view"];

/// prometheus_client/gc_collector.py. CPython counts what its collector does, and times none of it; it tells nothing of its heap.
const PYTHON: &[Rule] = &[
    Rule::collections("python_gc_collections", "minor").when(&[("generation", &["=0", "=1"])]),
    Rule::collections("python_gc_collections", "major").when(&[("generation", &["=2"])]),
];

/// prometheus_client/process_collector.py (Python), prom-client's and client_golang's, which agree. Who sees the process itself goes before
/// them.
const PROCESS: &[Rule] = &[
    Rule::rate("process_cpu", Unit::Cores, names::PROCESS_CPU),
    Rule::level("process_resident_memory", BYTES, names::PROCESS_RESIDENT),
    Rule::level("process_open_fds", COUNT, names::PROCESS_DESCRIPTORS),
    Rule::level("process_max_fds", COUNT, names::PROCESS_DESCRIPTOR_LIMIT).worst().never_zero(),
];

/// collector/{pg_stat_user_tables,pg_stat_activity,pg_stat_statements,pg_settings}.go and queries of cmd/postgres_exporter.
const POSTGRES: &[Rule] = &[
    Rule::rate("pg_stat_user_tables_seq_scan", PER_S, names::DB_TABLE_SCANS).about(&["relname"]),
    Rule::rate("pg_stat_user_tables_seq_tup_read", PER_S, names::DB_TABLE_SCANNED).about(&["relname"]),
    Rule::rate("pg_stat_user_tables_idx_tup_fetch", PER_S, names::DB_TABLE_FETCHED).about(&["relname"]),
    Rule::level("pg_stat_activity_count", COUNT, names::DB_CONNECTIONS),
    Rule::level("pg_stat_activity_count", COUNT, names::DB_ACTIVE).when(&[("state", &["^active"])]),
    Rule::level("pg_stat_activity_count", COUNT, names::DB_WAITING)
        .when(&[("state", &["^active"]), ("wait_event_type", &["Lock"])]),
    Rule::level("pg_stat_activity_count", COUNT, names::DB_IDLE_IN_TRANSACTION)
        .when(&[("state", &["^idle in transaction"])]),
    Rule::level("pg_stat_activity_max_tx_duration", NS, names::DB_LONGEST_TRANSACTION).worst(),
    Rule::level("pg_settings_max_connections", COUNT, names::DB_CONNECTION_LIMIT).worst().never_zero(),
    Rule::rate("pg_stat_statements_calls", PER_S, names::DB_CALLS).about(&["queryid"]),
    Rule::rate("pg_stat_statements_rows", PER_S, names::DB_ROWS).about(&["queryid"]),
    Rule::durations("pg_stat_statements", names::DB_TIME).part(Part::Sum).about(&["queryid"]),
    Rule::durations("pg_stat_statements_calls", names::DB_TIME).part(Part::Count).about(&["queryid"]),
];

/// collector/collector.go: rows of SHOW POOLS and SHOW CONFIG.
const PGBOUNCER: &[Rule] = &[
    Rule::level("pgbouncer_pools_client_waiting_connections", COUNT, "pool.*.waiters").member(PGBOUNCER_DB),
    Rule::level("pgbouncer_pools_server_active_connections", COUNT, "pool.*.in-use").member(PGBOUNCER_DB),
    Rule::level("pgbouncer_pools_server_idle_connections", COUNT, "pool.*.idle").member(PGBOUNCER_DB),
    Rule::level("pgbouncer_databases_pool_size", COUNT, "pool.*.capacity").member(&["name", "pgbouncer"]),
];
const PGBOUNCER_DB: &[&str] = &["database", "pgbouncer"];

/// exporter/exporter.go: fields of INFO.
const REDIS: &[Rule] = &[
    Rule::rate("redis_keyspace_hits", PER_S, "cache.*.hits").member(REDIS_NAME),
    Rule::rate("redis_keyspace_misses", PER_S, "cache.*.misses").member(REDIS_NAME),
    Rule::rate("redis_evicted_keys", PER_S, "cache.*.evictions").member(REDIS_NAME),
    Rule::rate("redis_expired_keys", PER_S, "cache.*.expired").member(REDIS_NAME),
    Rule::rate("redis_commands_processed", PER_S, "cache.*.commands").member(REDIS_NAME),
    Rule::level("redis_memory_used", BYTES, "cache.*.memory").member(REDIS_NAME),
    Rule::level("redis_memory_max", BYTES, "cache.*.memory-limit").member(REDIS_NAME).never_zero(),
    Rule::level("redis_connected_clients", COUNT, "cache.*.connections").member(REDIS_NAME),
    Rule::level("redis_blocked_clients", COUNT, "cache.*.blocked").member(REDIS_NAME),
    Rule::level("redis_db_keys", COUNT, "cache.*.entries").member(REDIS_NAME),
];
const REDIS_NAME: &[&str] = &["redis"];

/// prometheus_rabbitmq_core_metrics_collector.erl; a page without per-object metrics has no `queue` label.
const RABBITMQ: &[Rule] = &[
    Rule::level("rabbitmq_queue_messages_ready", COUNT, "broker.*.depth").member(QUEUE),
    Rule::level("rabbitmq_queue_consumers", COUNT, "broker.*.consumers").member(QUEUE),
    Rule::rate("rabbitmq_global_messages_received", PER_S, "broker.*.published").member(&["rabbitmq"]),
    Rule::rate("rabbitmq_global_messages_acknowledged", PER_S, "broker.*.consumed").member(&["rabbitmq"]),
];
const QUEUE: &[&str] = &["queue", "rabbitmq"];
