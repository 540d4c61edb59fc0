//! A scenario's text becomes a [`RunPlan`]: reads every table, checks what spans several of them.
//!
//! Reading never stops at a mistake; all are reported together. Each kind of table has a file of its own.

mod actions;
mod cache;
mod course;
mod faults;
mod feeders;
mod gates;
mod include;
mod journey;
pub(crate) mod keys;
mod metrics;
mod phases;
mod reader;
mod sessions;
mod source;
mod step;
mod target;
mod transport;
mod vars;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use timeline::metric::Mapping;
use toml::de::DeTable;

use self::reader::{Fields, Reader, Value};
use self::source::Sources;
use crate::mistake::{ScenarioError, Wrong};
use crate::plan::{Of, RunPlan, Target};

pub(crate) use self::gates::option_gates;
pub(crate) use self::transport::{authorities, flag as http_flag};

/// Longest scenario file, bytes: a thousand times a long one.
pub(crate) const MAX_FILE_BYTES: usize = 1024 * 1024;
/// Most phases, session kinds, faults or gates in a scenario; screens and reports list them all.
const MAX_TABLES: usize = 100;
/// Seed when none is given.
pub(crate) const DEFAULT_SEED: u64 = 1;
/// Grace when none is given, ns.
pub(crate) const DEFAULT_GRACE_NS: u64 = 5_000_000_000;
/// Timeout when none is given, ns.
pub(crate) const DEFAULT_TIMEOUT_NS: u64 = 10_000_000_000;

/// Where a scenario's text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Name of the scenario: its catalogue name or the file's stem.
    pub name: String,
    /// The file, if it is one; data files are relative to its folder, and messages name it.
    pub file: Option<PathBuf>,
}

/// Says of a word that it will not do, and what would.
pub type Judge = fn(&str) -> Result<(), String>;

/// What the command line says beside the scenario.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Instead of the scenario's seed.
    pub seed: Option<u64>,
    /// Instead of `[target] url`: an address or `bundled`.
    pub target: Option<String>,
    /// Instead of `[target] http`: `1.1`, `2` or `auto`.
    pub http: Option<String>,
    /// Further gates.
    pub gates: Vec<String>,
    /// Values of variables: instead of the defaults in `[vars]`, or of the environment for those that `[target] env` lists.
    pub vars: BTreeMap<String, String>,
    /// Each worker of the bundled backend has a cache of its own, so that a lock of all of them has no place.
    pub caches_apart: bool,
    /// Says of an entry of `[target] attach` that is none what would be one. Whoever attaches knows that; none: any is good.
    pub attach: Option<Judge>,
}

/// Reads a scenario.
///
/// # Errors
/// All mistakes found in the text, in its data files and in the overrides.
pub fn parse(text: &str, origin: &Origin, overrides: &Overrides) -> Result<RunPlan, ScenarioError> {
    let file = match &origin.file {
        Some(path) => path.display().to_string(),
        None => format!("{} (catalogue)", origin.name),
    };
    if text.len() > MAX_FILE_BYTES {
        let wrong = Wrong::new(format!("{file} is larger than a scenario can be"));
        return Err(ScenarioError::single(wrong.expected("at most 1 MiB")));
    }
    let sources = Sources::gather(file.clone(), text, origin);
    let reader = Reader::new(&sources);
    let plan = include::merged(&reader, &sources).and_then(|mut table| {
        let vars = vars::fill(&reader, &mut table, overrides);
        read(&reader, &table, origin, overrides, vars)
    });
    reader.finish()?;
    // Every `None` comes with a mistake, so this is only a belt to those braces.
    plan.ok_or_else(|| ScenarioError::single(Wrong::new(format!("{file} cannot be read"))))
}

/// Reads a file of `[[target.metric]]` tables alone: what metrics are called where there is no scenario to say so.
///
/// # Errors
/// All mistakes found in the file, or that it cannot be read.
pub fn mappings(path: &Path) -> Result<Vec<Mapping>, ScenarioError> {
    let text = crate::files::text(path, MAX_FILE_BYTES as u64).map_err(ScenarioError::single)?;
    let origin = Origin { name: String::new(), file: Some(path.to_owned()) };
    let sources = Sources::gather(path.display().to_string(), &text, &origin);
    let reader = Reader::new(&sources);
    let table = include::merged(&reader, &sources);
    let mappings = table.map(|table| metrics::alone(&reader, &table)).unwrap_or_default();
    reader.finish()?;
    Ok(mappings)
}

fn read(
    reader: &Reader<'_>,
    table: &DeTable<'_>,
    origin: &Origin,
    overrides: &Overrides,
    vars: serde_json::Map<String, serde_json::Value>,
) -> Option<RunPlan> {
    let file = reader.root(table, 0..0, keys::FILE);
    let about = file.get("about").and_then(|v| reader.text(v, "a sentence in quotes")).unwrap_or_default();
    for told in ["teaches", "needs"] {
        file.get(told).and_then(|v| reader.text(v, "a sentence in quotes"));
    }
    let seed = file.get("seed").and_then(|v| reader.integer(v, 0..=u64::MAX));
    let timeout_ns = file.get("timeout").and_then(|v| reader.span(v)).unwrap_or(DEFAULT_TIMEOUT_NS);
    let grace_ns = file.get("grace").and_then(|v| reader.duration(v)).unwrap_or(DEFAULT_GRACE_NS);

    let timer = course::timer(reader, &file);
    let target = target::read(reader, &file, overrides);
    let mut transport = transport::read(reader, &file);
    if let Some(target) = &target.target {
        transport::check(reader, &file, target, overrides);
        transport.http = transport::choose_http(reader, &file, target, overrides, transport.http);
    }
    let (feeders, known) = feeders::read(reader, &file);
    let phases = phases::read(reader, &file);
    let world = sessions::World {
        reader,
        feeders: &known,
        secrets: &target.secrets,
        timeout_ns,
        vars,
        auth: target.auth,
        assets: RefCell::default(),
    };
    let kinds = sessions::read(&world, &file);
    if let Some(target) = &target.target {
        journey::check(reader, &file, (target, &transport), overrides, &kinds.kinds);
    }
    // With a phase missing, what is right in the one behind it would seem to come too late.
    let known_length = !phases.is_empty() && phases.len() == tables(reader, &file, "phase").len();
    let length_ns = known_length.then(|| phases.iter().map(|(p, _)| p.length_ns).sum::<u64>());
    let faults = faults::read(reader, &file, length_ns);
    let actions = actions::read(reader, &file, length_ns);
    let lockable = !(overrides.caches_apart && target.target == Some(Target::Bundled));
    let cache = cache::read(reader, &file, phases.iter().map(|(phase, _)| phase), lockable);
    check_open_requests(reader, &phases, &kinds.kinds);
    check_passes(reader, &phases, &kinds.kinds);

    let plan = target.target.map(|loaded| RunPlan {
        name: origin.name.clone(),
        about: timeline::text::clean(about, MAX_ABOUT),
        seed: overrides.seed.or(seed).unwrap_or(DEFAULT_SEED),
        target: loaded,
        transport,
        attach: target.attach,
        metrics: target.metrics,
        phases: phases.into_iter().map(|(phase, _)| phase).collect(),
        sessions: kinds.kinds.into_iter().map(|k| k.kind).collect(),
        steps: kinds.steps,
        slots: kinds.slots,
        feeders,
        assets: world.assets.into_inner(),
        faults,
        actions,
        cache,
        gates: Vec::new(),
        grace_ns,
        timeout_ns,
        timer,
    });
    with_gates(reader, &file, overrides, plan)
}

/// The plan with its gates, which are checked against all the rest.
fn with_gates(
    reader: &Reader<'_>,
    file: &Fields<'_>,
    overrides: &Overrides,
    plan: Option<RunPlan>,
) -> Option<RunPlan> {
    // With other mistakes about, names that a gate refers to may be missing only because of those.
    let sound = reader.count() == 0;
    let gates = gates::read(reader, file, plan.as_ref().filter(|_| sound));
    let mut plan = plan.map(|plan| RunPlan { gates, ..plan });
    match option_gates(&overrides.gates, plan.as_ref().filter(|_| sound)) {
        Ok(more) => plan.iter_mut().for_each(|plan| plan.gates.extend(more.iter().cloned())),
        Err(wrong) => wrong.into_iter().for_each(|w| reader.wrong_outside(w)),
    }
    plan
}

/// Longest `about` line, characters.
const MAX_ABOUT: usize = 300;

/// A time in a run of this length, if that is known; `what` is said to begin then.
fn within_run(
    reader: &Reader<'_>,
    fields: &Fields<'_>,
    at_ns: Option<u64>,
    length_ns: Option<u64>,
    what: &str,
) {
    if let (Some(at), Some(length)) = (at_ns, length_ns)
        && at >= length
        && let Some(v) = fields.get("at")
    {
        let wrong = Wrong::new(format!("this {what} begins after the run has ended"));
        let length = crate::text::quantity::show_duration(length);
        reader.wrong(v.span(), wrong.expected(format!("less than the length of all phases, {length}")));
    }
}

/// The tables of `[[name]]`, at most [`MAX_TABLES`]; empty when there are none or the shape is wrong (noted).
fn tables<'d>(reader: &Reader<'_>, file: &Fields<'d>, name: &str) -> &'d [Value<'d>] {
    let Some(value) = file.get(name) else {
        return &[];
    };
    if matches!(value.get_ref(), toml::de::DeValue::Table(_)) {
        let wrong = Wrong::new(format!("[{name}] stands for a single table")).expected(format!("[[{name}]]"));
        reader.wrong(value.span(), wrong);
        return &[];
    }
    reader.array(value, &format!("tables, each headed [[{name}]]"), MAX_TABLES).unwrap_or_default()
}

/// The same where there must be one at least, which is `expected`.
fn some_tables<'d>(
    reader: &Reader<'_>,
    file: &Fields<'d>,
    name: &str,
    expected: &'static str,
) -> &'d [Value<'d>] {
    let before = reader.count();
    let written = tables(reader, file, name);
    // What is not a list of tables has been told of.
    if written.is_empty() && reader.count() == before {
        let wrong = Wrong::new(format!("this scenario has no [[{name}]]")).expected(expected);
        reader.wrong(file.get(name).map_or(0..0, |v| v.span()), wrong);
    }
    written
}

/// A phase that counts passes needs passes that end.
fn check_passes(
    reader: &Reader<'_>,
    phases: &[(crate::plan::Phase, std::ops::Range<usize>)],
    kinds: &[sessions::Kind],
) {
    let Some(kind) = kinds.iter().map(|k| &k.kind).find(|k| k.is_endless()) else { return };
    for (phase, span) in phases.iter().filter(|(p, _)| p.model.rules().turns.is_some()) {
        let wrong = Wrong::new(format!(
            "phase `{}` counts passes, but session kind `{}` repeats until the end",
            phase.name, kind.name
        ));
        reader.wrong(span.clone(), wrong.expected("kinds whose passes end"));
    }
}

/// A phase of single requests keeps no session, so no kind may use what needs one.
fn check_open_requests(
    reader: &Reader<'_>,
    phases: &[(crate::plan::Phase, std::ops::Range<usize>)],
    kinds: &[sessions::Kind],
) {
    for (phase, span) in phases.iter().filter(|(p, _)| p.model.of() == Of::Requests) {
        if let Some(kind) = kinds.iter().find(|k| k.needs_session) {
            let wrong = Wrong::new(format!(
                "phase `{}` offers single requests, but session kind `{}` uses a WebSocket or an event stream, is a journey or repeats until the end",
                phase.name, kind.kind.name
            ));
            reader.wrong(
                span.clone(),
                wrong
                    .expected("kinds of plain requests alone")
                    .help("`sessions` or `arrivals` hold sessions open"),
            );
        }
    }
}
