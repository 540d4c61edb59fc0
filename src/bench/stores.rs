//! Servers of a database, a cache and a broker, from Debian's packages: started by the bench itself, asked at a fixed rate, and gone with it.
//!
//! Owns what each needs to be started on free ports, in a folder of its own and as a user without rights (PostgreSQL refuses root), and the
//! clients that ask them: one thread of this process, which waits for each answer, so that what was asked was answered.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use super::process::Place;
use super::services::{self, Process, free_port, in_path, said};
use crate::family::family;
use crate::secret::new_token;

/// How long a server may take until it answers: RabbitMQ takes ten seconds on a machine with nothing else to do.
const START_PATIENCE: Duration = Duration::from_secs(90);
/// An answer that takes longer is none.
pub const ANSWER: Duration = Duration::from_secs(5);
/// What is asked in one go, from one look at the clock to the next.
const BATCH: u64 = 20;
/// Whoever asks and is later than this at the end has not kept the rate: more than a hundredth of a long window.
const LATE: Duration = Duration::from_millis(100);
/// Rows of the one table.
const ROWS: u64 = 10_000;
/// Who runs servers when the bench is run by root. Every system has this user.
const NOBODY: &str = "nobody";
/// The one user of a server, made by us.
const USER: &str = "bench";
/// Where Debian keeps PostgreSQL's programs, a folder for each version.
const POSTGRES: &str = "/usr/lib/postgresql";
/// What PostgreSQL says when it lets clients in; it speaks English here (`LC_ALL=C`).
const POSTGRES_READY: &str = "ready to accept connections";
/// RabbitMQ's own script, behind the one that wants to become its system user.
const RABBIT: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Redis, asked for a key that is not there.
    Redis,
    /// PostgreSQL with `pg_stat_statements`, asked for a row by its key.
    Postgres,
    /// RabbitMQ with its management plugin, given a message which is then taken.
    Rabbit,
}

impl Kind {
    /// The source that watches it.
    pub const fn source(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Postgres => "postgres",
            Self::Rabbit => "rabbitmq",
        }
    }

    /// As a person reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::Postgres => "PostgreSQL",
            Self::Rabbit => "RabbitMQ",
        }
    }

    /// How often a second it is asked: Redis twenty times in one go, the others each time anew.
    pub const fn per_s(self, quick: bool) -> u64 {
        match (self, quick) {
            (Self::Redis, false) => 20_000,
            (Self::Redis, true) => 5_000,
            (Self::Postgres, false) => 3_000,
            (Self::Postgres, true) | (Self::Rabbit, false) => 1_000,
            (Self::Rabbit, true) => 500,
        }
    }

    /// The package that is not on this machine.
    pub fn missing(self) -> Option<String> {
        let there = match self {
            Self::Redis => in_path("redis-server").is_some(),
            Self::Postgres => postgres("initdb").is_some(),
            Self::Rabbit => Path::new(RABBIT).is_file() && in_path("epmd").is_some(),
        };
        let package = match self {
            Self::Redis => "redis-server",
            Self::Postgres => "postgresql",
            Self::Rabbit => "rabbitmq-server",
        };
        if !there {
            return Some(format!("the package {package} is missing"));
        }
        in_path("setpriv").is_none().then(|| "the package util-linux is missing".to_owned())
    }
}

/// A server that runs. Dropping it ends it.
pub struct Store {
    kind: Kind,
    /// Where its clients come.
    pub port: u16,
    /// Where it tells of itself: its clients' port, or the plugin's.
    told: u16,
    password: String,
    server: Process,
    /// RabbitMQ's port mapper.
    _mapper: Option<Process>,
    /// Gone after the processes.
    home: TempDir,
}

impl Store {
    /// Starts one and waits until it answers.
    pub fn start(place: &Place<'_>, kind: Kind) -> anyhow::Result<Self> {
        let home = home()?;
        let start = Start { place, path: home.path(), port: free_port()?, password: new_token()? };
        let (server, mapper, told) = match kind {
            Kind::Redis => (start.redis()?, None, start.port),
            Kind::Postgres => (start.postgres()?, None, start.port),
            Kind::Rabbit => {
                let told = free_port()?;
                let (server, mapper) = start.rabbit(told)?;
                (server, Some(mapper), told)
            }
        };
        let (port, password) = (start.port, start.password);
        let mut store = Self { kind, port, told, password, server, _mapper: mapper, home };
        store.wait(place)?;
        if kind == Kind::Postgres {
            store.fill()?;
        }
        Ok(store)
    }

    fn wait(&mut self, place: &Place<'_>) -> anyhow::Result<()> {
        let listens = |port: u16| TcpStream::connect(("127.0.0.1", port)).is_ok();
        let log = self.home.path().join("log");
        // PostgreSQL listens before it lets anybody in.
        let lets_in = || {
            self.kind != Kind::Postgres || fs::read_to_string(&log).is_ok_and(|l| l.contains(POSTGRES_READY))
        };
        let server = &mut self.server.0;
        let ready = place.wait_for(START_PATIENCE, || {
            // One that has ended will not listen.
            let runs = matches!(server.try_wait(), Ok(None));
            runs.then(|| listens(self.port) && listens(self.told) && lets_in())
        })?;
        if !ready {
            bail!("{} does not listen: {}", self.kind.name(), said(&log));
        }
        Ok(())
    }

    /// The server and what it has started.
    pub fn pids(&self) -> Vec<u32> {
        family(self.server.0.id())
    }

    /// How it is watched.
    pub fn attach(&self) -> String {
        let told = self.told;
        match self.kind {
            Kind::Redis => format!("redis=redis://127.0.0.1:{told}"),
            Kind::Postgres => format!("postgres=postgres://{USER}@127.0.0.1:{told}/postgres"),
            Kind::Rabbit => format!("rabbitmq=http://{USER}@127.0.0.1:{told}"),
        }
    }

    /// The variable with its password.
    pub fn secret(&self) -> Option<(&'static str, String)> {
        let variable = match self.kind {
            Kind::Redis => return None,
            Kind::Postgres => "DYNO_POSTGRES_PASSWORD",
            Kind::Rabbit => "DYNO_RABBITMQ_PASSWORD",
        };
        Some((variable, self.password.clone()))
    }

    /// Asks it at a rate.
    pub fn asking(&self, per_s: u64) -> anyhow::Result<Asking> {
        let ask: Ask = match self.kind {
            Kind::Redis => ask_redis(self.port)?,
            Kind::Postgres => ask_postgres(&self.postgres_url())?,
            Kind::Rabbit => {
                ask_rabbit(&format!("amqp://{USER}:{}@127.0.0.1:{}/%2f", self.password, self.port))?
            }
        };
        Asking::start(self.kind, ask, per_s)
    }

    fn postgres_url(&self) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    fn fill(&self) -> anyhow::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.postgres_url(), NoTls).await?;
            let mut driver = JoinSet::new();
            driver.spawn(connection);
            let sql = format!(
                "CREATE EXTENSION pg_stat_statements; CREATE TABLE items (id INT PRIMARY KEY, text TEXT);
                 INSERT INTO items SELECT i, repeat('x', 50) FROM generate_series(1, {ROWS}) i; ANALYZE items"
            );
            anyhow::Ok(client.batch_execute(&sql).await?)
        })
    }
}

/// A folder that the servers' user owns.
fn home() -> anyhow::Result<TempDir> {
    let home = tempfile::Builder::new().prefix("dyno-bench-").tempdir()?;
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755))?;
    if let Some((user, group)) = nobody() {
        chown(home.path(), Some(user), Some(group))?;
    }
    Ok(home)
}

/// Who runs servers; none: whoever we are.
fn nobody() -> Option<(u32, u32)> {
    let users = rustix::process::geteuid().is_root().then(|| fs::read_to_string("/etc/passwd").ok())??;
    let mut fields = users.lines().map(|l| l.split(':').collect::<Vec<_>>());
    let found = fields.find(|f| f[0] == NOBODY)?;
    Some((found.get(2)?.parse().ok()?, found.get(3)?.parse().ok()?))
}

/// PostgreSQL's program of this name, of the newest version.
fn postgres(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir(POSTGRES).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|v| {
            let program = v.path().join("bin").join(name);
            let number = v.file_name().to_str()?.parse().ok()?;
            program.is_file().then_some((number, program))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, program)| program)
}

/// What a server is started with.
struct Start<'a> {
    place: &'a Place<'a>,
    path: &'a Path,
    port: u16,
    password: String,
}

impl Start<'_> {
    /// `program` as the servers' user; the kernel kills it when we die. Nothing of our environment is its business.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some((user, group)) = nobody() {
            command.args([
                format!("--reuid={user}"),
                format!("--regid={group}"),
                "--clear-groups".to_owned(),
            ]);
        }
        command.arg("--").arg(program).current_dir(self.path).stdin(Stdio::null()).stdout(Stdio::null());
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("HOME", self.path).env("LC_ALL", "C");
        command
    }

    fn spawn(&self, command: &mut Command, log: &str) -> anyhow::Result<Process> {
        services::spawn(self.place, command, &self.path.join(log))
    }

    fn redis(&self) -> anyhow::Result<Process> {
        let program = in_path("redis-server").context("redis-server is gone")?;
        let port = self.port.to_string();
        let args =
            ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"];
        self.spawn(self.command(&program).args(args), "log")
    }

    fn postgres(&self) -> anyhow::Result<Process> {
        let program = |name| postgres(name).with_context(|| format!("PostgreSQL's {name} is gone"));
        let (data, secret) = (self.path.join("data"), self.path.join("secret"));
        self.write("secret", &self.password)?;
        let mut made = self.command(&program("initdb")?);
        made.args(["--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C", "--username", USER]);
        let made = made.arg("--pwfile").arg(&secret).arg("--pgdata").arg(&data).output()?;
        if !made.status.success() {
            bail!("initdb failed: {}", timeline::text::clean(&String::from_utf8_lossy(&made.stderr), 200));
        }
        let mut server = self.command(&program("postgres")?);
        server.arg("-D").arg(&data).args(["-p", &self.port.to_string(), "-k", "", "-h", "127.0.0.1"]);
        // A worker that comes and goes within a window would count as what is measured.
        for setting in ["fsync=off", "autovacuum=off", "shared_preload_libraries=pg_stat_statements"] {
            server.args(["-c", setting]);
        }
        self.spawn(&mut server, "log")
    }

    /// The node, its management plugin at port `told`, and a port mapper of its own.
    fn rabbit(&self, told: u16) -> anyhow::Result<(Process, Process)> {
        let mapper_port = free_port()?.to_string();
        let mut mapper = self.command(&in_path("epmd").context("epmd is gone")?);
        let mapper =
            self.spawn(mapper.args(["-port", &mapper_port, "-address", "127.0.0.1"]), "mapper.log")?;
        self.write("plugins", "[rabbitmq_management].")?;
        let config = format!(
            "default_user = {USER}\ndefault_pass = {}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {told}\n",
            self.password
        );
        self.write("rabbitmq.conf", &config)?;
        let mut node = self.command(Path::new(RABBIT));
        let numbers = [
            ("RABBITMQ_NODE_PORT", self.port.to_string()),
            ("RABBITMQ_DIST_PORT", free_port()?.to_string()),
            ("ERL_EPMD_PORT", mapper_port),
            // It sizes its table of descriptors by it.
            ("ERL_MAX_PORTS", "1024".to_owned()),
        ];
        let words = [
            ("RABBITMQ_NODENAME", "dyno-bench@localhost"),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1"),
            ("ERL_EPMD_ADDRESS", "127.0.0.1"),
            ("RABBITMQ_LOGS", "-"),
            // Without a supervising shell in between, which would outlive its own death.
            ("detached", "1"),
        ];
        let places = [
            ("RABBITMQ_CONF_ENV_FILE", "none"),
            ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "plugins"),
            ("RABBITMQ_MNESIA_BASE", "data"),
            ("RABBITMQ_LOG_BASE", "logs"),
            ("RABBITMQ_PID_FILE", "pid"),
            ("RABBITMQ_GENERATED_CONFIG_DIR", "generated"),
        ];
        node.envs(numbers).envs(words).envs(places.map(|(name, file)| (name, self.path.join(file))));
        Ok((self.spawn(&mut node, "log")?, mapper))
    }

    /// A file that the servers' user alone may read.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path.join(name);
        fs::write(&path, "")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        if let Some((user, group)) = nobody() {
            chown(&path, Some(user), Some(group))?;
        }
        Ok(fs::write(&path, text)?)
    }
}

/// Asks [`BATCH`] times and waits for the answers.
type Ask = Box<dyn FnMut() -> anyhow::Result<()> + Send>;

fn ask_redis(port: u16) -> anyhow::Result<Ask> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let batch = b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n".repeat(BATCH as usize);
    let mut answers = vec![0; b"$-1\r\n".len() * BATCH as usize];
    Ok(Box::new(move || {
        stream.write_all(&batch)?;
        Ok(stream.read_exact(&mut answers)?)
    }))
}

fn ask_postgres(url: &str) -> anyhow::Result<Ask> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut driver = JoinSet::new();
    let (client, by_key) = within(&runtime, async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        driver.spawn(connection);
        let by_key = client.prepare("SELECT text FROM items WHERE id = $1").await?;
        anyhow::Ok((client, by_key))
    })?;
    let mut id = 0;
    Ok(Box::new(move || {
        let _ = &driver; // lives as long as who asks through it
        within(&runtime, async {
            for _ in 0..BATCH {
                id = id % ROWS as i32 + 1;
                client.query_one(&by_key, &[&id]).await?;
            }
            anyhow::Ok(())
        })
    }))
}

fn ask_rabbit(url: &str) -> anyhow::Result<Ask> {
    const QUEUE: &str = "bench";
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (connection, channel) = within(&runtime, async {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.queue_declare(QUEUE.into(), QueueDeclareOptions::default(), FieldTable::default()).await?;
        anyhow::Ok((connection, channel))
    })?;
    Ok(Box::new(move || {
        let _ = &connection; // the channel is one of it
        within(&runtime, async {
            for _ in 0..BATCH {
                let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
                channel.basic_publish("".into(), QUEUE.into(), options, &[b'x'; 100], properties).await?;
                // In the order of the channel: what was given is there to be taken.
                let got = channel.basic_get(QUEUE.into(), BasicGetOptions { no_ack: true }).await?;
                got.context("the message that was given is not there")?;
            }
            anyhow::Ok(())
        })
    }))
}

/// Waits for `what`, as long as an answer may take.
fn within<T>(runtime: &Runtime, what: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let patience = ANSWER * 2; // it may be a batch
    runtime.block_on(async { tokio::time::timeout(patience, what).await })?
}

/// A thread that asks a server at a fixed rate.
pub struct Asking {
    kind: Kind,
    done: Arc<AtomicBool>,
    /// Gives how late it was at last.
    thread: JoinHandle<anyhow::Result<Duration>>,
}

impl Asking {
    fn start(kind: Kind, mut ask: Ask, per_s: u64) -> anyhow::Result<Self> {
        let done = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&done);
        let thread = std::thread::Builder::new().name("asking".to_owned()).spawn(move || {
            let mut next = timeline::MonoNs::now();
            while !ended.load(Ordering::Relaxed) {
                ask()?;
                next.0 += 1_000_000_000 * BATCH / per_s.max(1);
                std::thread::sleep(next.since(timeline::MonoNs::now()));
            }
            Ok(timeline::MonoNs::now().since(next))
        })?;
        Ok(Self { kind, done, thread })
    }

    /// Ends it; an error if it did not ask to the end, and a remark if it asked less often than it should.
    pub fn end(self) -> anyhow::Result<Option<String>> {
        self.done.store(true, Ordering::Relaxed);
        let name = self.kind.name();
        let ended = self.thread.join().map_err(|_| anyhow::anyhow!("whoever asked {name} panicked"))?;
        let late = ended.with_context(|| format!("{name} gave no answer"))?;
        Ok((late > LATE)
            .then(|| format!("{name} was asked less often than said: {} ms late", late.as_millis())))
    }
}
