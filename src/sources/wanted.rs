//! What can be said to `--attach`: one table, read by the parser and shown when it fails.

use std::net::SocketAddr;

use profiler::sources::v8::{Place, Search};
use profiler::sources::{otlp, shown};

use crate::outcome::UserError;
use crate::secret::TOKEN_VARIABLE;

/// One thing to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attach {
    /// Whatever can be found at the target's port.
    Auto,
    /// Nothing: the load alone.
    Nothing,
    /// The processes that serve the target's port.
    Process,
    /// An agent's endpoint with its token.
    Agent { url: String, token: String },
    /// The inspector of this process, or of all that serve the target's port and run on V8; and whether their heaps are searched.
    V8(Option<Place>, Search),
    /// A page in the text formats of Prometheus and OpenMetrics.
    Metrics { url: String },
    /// What sends metrics of OpenTelemetry here.
    Otlp(SocketAddr),
    /// The JVMs of this process id, or all that serve the target's port.
    Jvm(Option<u32>),
    /// A store's server with its password.
    Store { kind: Store, url: String, password: String },
}

/// Kinds of stores whose servers tell of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// PostgreSQL.
    Postgres,
    /// Redis, and who speaks as it does.
    Redis,
    /// RabbitMQ, by its management plugin.
    RabbitMq,
}

impl Store {
    /// Name of the environment variable that carries the password.
    pub const fn password_variable(self) -> &'static str {
        match self {
            Self::Postgres => "DYNO_POSTGRES_PASSWORD",
            Self::Redis => "DYNO_REDIS_PASSWORD",
            Self::RabbitMq => "DYNO_RABBITMQ_PASSWORD",
        }
    }
}

/// A form: its word, how it is shown, and how what stands behind the `=` is read (an error says what is wrong with it, or nothing more
/// than the forms do).
type Form = (&'static str, &'static str, fn(Option<&str>) -> Result<Attach, Option<String>>);

const FORMS: &[Form] = &[
    ("auto", "auto", |value| bare(value, Attach::Auto)),
    ("none", "none", |value| bare(value, Attach::Nothing)),
    ("process", "process", |value| bare(value, Attach::Process)),
    ("agent", "agent=http://ADDRESS:PORT", agent),
    ("node", "node[=PID|=ADDRESS:PORT]", |place| v8(place, Search::No)),
    ("node+heap", "node+heap[=PID|=ADDRESS:PORT]", |place| v8(place, Search::Heap)),
    ("deno", "deno[=PID|=ADDRESS:PORT]", |place| v8(place, Search::No)),
    ("bun", "bun[=PID|=ADDRESS:PORT]", |place| v8(place, Search::No)),
    ("jvm", "jvm[=PID]", jvm),
    ("metrics", "metrics=http://ADDRESS:PORT/PATH", metrics),
    ("otlp", "otlp[=ADDRESS:PORT]", otlp),
    ("redis", "redis=redis://ADDRESS:PORT", |url| store(Store::Redis, url)),
    ("postgres", "postgres=postgres://USER@ADDRESS:PORT/DATABASE", |url| store(Store::Postgres, url)),
    ("rabbitmq", "rabbitmq=http://USER@ADDRESS:PORT", |url| store(Store::RabbitMq, url)),
];

impl Attach {
    /// What `--attach` says.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        Self::read(text).map_err(|why| mistake(text, why))
    }

    fn read(text: &str) -> Result<Self, Option<String>> {
        let (word, value) = parts(text);
        FORMS.iter().find(|form| form.0 == word).map_or(Err(None), |form| form.2(value))
    }

    /// Looks at an entry of a scenario's `attach`. What the environment lacks for it is no mistake of a scenario.
    ///
    /// # Errors
    /// What was expected.
    pub fn check(text: &str) -> Result<(), String> {
        if matches!(Self::read(text), Err(None)) { Err(forms()) } else { Ok(()) }
    }

    /// Is it V8's inspector? Who names it on the command line has said that it may be opened.
    pub fn is_inspector(&self) -> bool {
        matches!(self, Self::V8(..))
    }

    /// All of them.
    pub fn parse_all(texts: &[String]) -> anyhow::Result<Vec<Self>> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }
}

/// Its word, and what stands behind the `=`.
fn parts(text: &str) -> (&str, Option<&str>) {
    text.split_once('=').map_or((text, None), |(word, value)| (word, Some(value)))
}

/// What can be said.
fn forms() -> String {
    let forms: Vec<&str> = FORMS.iter().map(|form| form.1).collect();
    format!("one of {}", forms.join(", "))
}

fn mistake(text: &str, why: Option<String>) -> anyhow::Error {
    let why = why.unwrap_or_else(|| format!("expected {}", forms()));
    let (word, value) = parts(text);
    let said = value.map_or(word.to_owned(), |value| format!("{word}={}", shown(value)));
    UserError::wrong(format!("--attach {said}: {why}"))
}

fn bare(value: Option<&str>, attach: Attach) -> Result<Attach, Option<String>> {
    if value.is_none() { Ok(attach) } else { Err(None) }
}

fn agent(url: Option<&str>) -> Result<Attach, Option<String>> {
    let url = url.filter(|url| url.starts_with("http://")).ok_or(None)?;
    let token = std::env::var(TOKEN_VARIABLE).unwrap_or_default();
    if token.is_empty() {
        return Err(Some(format!(
            "the agent's token is expected in the environment variable {TOKEN_VARIABLE}"
        )));
    }
    Ok(Attach::Agent { url: url.trim_end_matches('/').to_owned(), token })
}

fn v8(place: Option<&str>, search: Search) -> Result<Attach, Option<String>> {
    let Some(place) = place else { return Ok(Attach::V8(None, search)) };
    let pid = place.parse().map(Place::Process);
    let place = pid.or_else(|_| address(place).map(Place::At))?;
    Ok(Attach::V8(Some(place), search))
}

fn address(text: &str) -> Result<SocketAddr, Option<String>> {
    let numbers = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    numbers.as_deref().unwrap_or(text).parse().map_err(|_| None)
}

fn jvm(pid: Option<&str>) -> Result<Attach, Option<String>> {
    pid.map(str::parse).transpose().map(Attach::Jvm).map_err(|_| None)
}

fn metrics(url: Option<&str>) -> Result<Attach, Option<String>> {
    url.map(|url| Attach::Metrics { url: url.to_owned() }).ok_or(None)
}

fn otlp(place: Option<&str>) -> Result<Attach, Option<String>> {
    place.map_or(Ok(otlp::STANDARD), address).map(Attach::Otlp)
}

fn store(kind: Store, url: Option<&str>) -> Result<Attach, Option<String>> {
    let password = std::env::var(kind.password_variable()).unwrap_or_default();
    url.map(|url| Attach::Store { kind, url: url.to_owned(), password }).ok_or(None)
}

#[cfg(test)]
mod tests {
    use reports::redact::Redactor;
    use timeline::facts::RunMeta;

    use super::*;

    #[test]
    fn what_to_attach_is_read_or_refused_with_what_was_expected() {
        assert_eq!(Attach::parse("auto").unwrap(), Attach::Auto);
        assert_eq!(Attach::parse("process").unwrap(), Attach::Process);
        assert_eq!(Attach::parse("node").unwrap(), Attach::V8(None, Search::No));
        assert_eq!(Attach::parse("node+heap").unwrap(), Attach::V8(None, Search::Heap));
        assert_eq!(Attach::parse("node=17").unwrap(), Attach::V8(Some(Place::Process(17)), Search::No));
        let at = Attach::V8(Some(Place::At("127.0.0.1:9229".parse().unwrap())), Search::No);
        assert_eq!(Attach::parse("deno=localhost:9229").unwrap(), at);
        let metrics = Attach::Metrics { url: "http://127.0.0.1:9/metrics".to_owned() };
        assert_eq!(Attach::parse("metrics=http://127.0.0.1:9/metrics").unwrap(), metrics);
        assert_eq!(Attach::parse("otlp").unwrap(), Attach::Otlp("127.0.0.1:4318".parse().unwrap()));
        assert_eq!(Attach::parse("otlp=localhost:9").unwrap(), Attach::Otlp("127.0.0.1:9".parse().unwrap()));
        assert_eq!(Attach::parse("jvm=12").unwrap(), Attach::Jvm(Some(12)));
        let forms = "auto, none, process, agent=http://ADDRESS:PORT, node[=PID|=ADDRESS:PORT], node+heap[=PID|=ADDRESS:PORT], \
            deno[=PID|=ADDRESS:PORT], bun[=PID|=ADDRESS:PORT], jvm[=PID], metrics=http://ADDRESS:PORT/PATH, otlp[=ADDRESS:PORT], redis=redis://ADDRESS:PORT, \
            postgres=postgres://USER@ADDRESS:PORT/DATABASE, rabbitmq=http://USER@ADDRESS:PORT";
        let rabbit = Attach::parse("rabbitmq=http://me@127.0.0.1:15672").unwrap();
        assert!(matches!(rabbit, Attach::Store { kind: Store::RabbitMq, .. }));
        for wrong in
            ["jvm=my-service", "metrics", "toaster", "node=here", "otlp=9", "process=1", "agent=ftp://x"]
        {
            let error = Attach::parse(wrong).unwrap_err().to_string();
            assert_eq!(error, format!("--attach {wrong}: expected one of {forms}"));
        }
    }

    #[test]
    fn what_was_attached_is_told_by_its_word_where_names_are_hidden() {
        let kept = |line: &str| {
            let meta = RunMeta { attached: vec![line.to_owned()], ..RunMeta::default() };
            Redactor::new().meta(&meta).attached
        };
        for (word, ..) in FORMS.iter().filter(|form| form.0 != "none") {
            let source = word.split('+').next().unwrap();
            assert_eq!(kept(&format!("{source} at shop.internal:1: version 7")), [source]);
        }
        let otlp = "OpenTelemetry metrics received at http://127.0.0.1:4318/v1/metrics";
        assert_eq!(kept(otlp), ["OpenTelemetry"]);
        assert!(kept("shop.internal: version 7").is_empty());
    }
}
