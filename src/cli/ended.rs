//! What can be said of runs that ended: reports, explanations, comparisons, recordings.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Vars;

/// `dyno report`
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// A run's folder or its recording [default: the newest in dyno-runs].
    pub run: Option<PathBuf>,
    /// Folder to write to [default: the run's].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What to write, separated by commas [default: json,html,junit,hlog].
    #[arg(long, value_name = "FORMATS", value_delimiter = ',', value_parser = format_names())]
    pub format: Vec<String>,
    /// Leave out statements and addresses, as reports of `dyno run --ci` do.
    #[arg(long)]
    pub redact: bool,
    /// Print summary.json on standard output instead of the summary in words.
    #[arg(long)]
    pub json: bool,
}

fn format_names() -> clap::builder::PossibleValuesParser {
    reports::Format::ALL.map(reports::Format::name).into()
}

impl ReportArgs {
    /// What to write.
    pub fn formats(&self) -> Vec<reports::Format> {
        if self.format.is_empty() {
            return reports::Format::USUAL.to_vec();
        }
        let asked = |f: &reports::Format| self.format.iter().any(|name| name == f.name());
        reports::Format::ALL.into_iter().filter(asked).collect()
    }
}

/// `dyno redact`
#[derive(Debug, Clone, Args)]
pub struct RedactArgs {
    /// A run's folder or its recording.
    pub run: PathBuf,
    /// New folder for the recording under pseudonyms and reports made from it.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `dyno explain`
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// A run's folder or its recording [default: the newest in dyno-runs].
    pub run: Option<PathBuf>,
    /// Leave out statements and addresses.
    #[arg(long)]
    pub redact: bool,
    /// The same as JSON.
    #[arg(long)]
    pub json: bool,
    /// Print the JSON Schema of that instead.
    #[arg(long, conflicts_with_all = ["run", "json", "verify"])]
    pub schema: bool,
    /// Run it again with the advice applied, and show before and after: for runs of the bundled backend. Exit code 3
    /// unless all that was cured is gone.
    #[arg(long)]
    pub verify: bool,
    /// With --verify: folder for the new run [default: dyno-runs/ID].
    #[arg(long, value_name = "DIR", requires = "verify")]
    pub out: Option<PathBuf>,
    /// With --verify: values of variables that the run was given, which no recording holds.
    #[command(flatten)]
    pub vars: Vars,
}

/// `dyno score`
#[derive(Debug, Clone, Args)]
pub struct ScoreArgs {
    /// How many cases, some 20 s each.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub cases: u32,
    /// Seed of the draw: the same seed gives the same cases, and fewer are the first of more.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// The whole score as JSON, with every case.
    #[arg(long)]
    pub json: bool,
    /// Folder for `score.jsonl`, which is added to and gone on from, and for the runs whose diagnosis failed
    /// [default: dyno-runs/score-SEED].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Only such cases, separated by commas [default: all].
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub kinds: Vec<crate::score::Sort>,
    /// Only cases with these faults and their clean twins, separated by commas [default: all].
    #[arg(long, value_name = "FAULTS", value_delimiter = ',')]
    pub faults: Vec<String>,
    /// What the bundled backend runs on, drawn from these, separated by commas [default: rust].
    #[arg(long, value_name = "RUNTIMES", value_delimiter = ',', value_parser = ["rust", "node", "deno", "bun"])]
    pub runtime: Vec<String>,
    /// Run nothing: judge recorded runs anew, each a folder, or all inside of a folder.
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["cases", "seed", "out", "kinds", "faults", "runtime"])]
    pub recorded: Vec<PathBuf>,
    /// With --recorded: also what was found in each run, beside its truth.
    #[arg(long, requires = "recorded")]
    pub findings: bool,
    /// Keep small recordings, as tests have them: of each fault of the catalogue and its clean twin, which are run for it,
    /// or of those named with --recorded.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["cases", "seed", "out", "kinds", "runtime", "json", "findings"])]
    pub record: Option<PathBuf>,
}

/// `dyno compare`
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// What to compare with: a run's folder or recording, a folder of runs, or a baseline's name.
    pub base: String,
    /// What is compared: the same.
    pub new: String,
    /// The comparison as JSON.
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// The comparison as Markdown, for a merge request or a job's summary.
    #[arg(long)]
    pub markdown: bool,
    /// Every figure, also those that did not move.
    #[arg(long)]
    pub all: bool,
    /// Learn how much runs differ by themselves from further runs of one build, too: a folder of runs, or a baseline's name.
    #[arg(long, value_name = "RUNS")]
    pub noise: Option<String>,
    /// Write a page with the figures, and the lanes of both sides laid over each other.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Where baselines are kept.
    #[command(flatten)]
    pub kept: Baselines,
}

/// Where baselines are kept.
#[derive(Debug, Clone, Args)]
pub struct Baselines {
    /// Folder of the baselines.
    #[arg(long, value_name = "DIR", default_value = "dyno-baselines")]
    pub baselines: PathBuf,
}

/// `dyno baseline ...`
#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// Keep the recordings of runs under a name; what was kept under it before goes.
    Save {
        /// The name, of letters, digits, `.`, `-` and `_`.
        name: String,
        /// Runs' folders or recordings, or folders of runs; several repeats teach how much runs differ by themselves.
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// Where baselines are kept.
        #[command(flatten)]
        kept: Baselines,
    },
    /// Names, scenarios and numbers of runs.
    List {
        /// Where baselines are kept.
        #[command(flatten)]
        kept: Baselines,
    },
    /// The runs of one, with their main figures.
    Show {
        /// Its name.
        name: String,
        /// Where baselines are kept.
        #[command(flatten)]
        kept: Baselines,
    },
}

/// `dyno recording ...`
#[derive(Debug, Subcommand)]
pub enum RecordingCommand {
    /// What a recording holds.
    Info {
        /// A run's folder or its recording.
        run: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check every block; exit code 2 names what is damaged.
    Verify {
        /// A run's folder or its recording.
        run: PathBuf,
    },
    /// Make a recording of a stretch of one.
    Trim {
        /// A run's folder or its recording.
        run: PathBuf,
        /// Its first instant, such as 10s [default: the run's start].
        #[arg(long, value_name = "TIME", default_value = "0s", hide_default_value = true)]
        from: String,
        /// Its last instant, such as 50s [default: the run's end].
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        /// The new file, or folder for it; nothing is overwritten.
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
    },
    /// Make one recording of several: pieces of a run, or runs of several hosts, put onto one clock by their wall clocks.
    Merge {
        /// Runs' folders or recordings.
        #[arg(required = true, num_args = 2..)]
        runs: Vec<PathBuf>,
        /// The new file, or folder for it; nothing is overwritten.
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
    },
}
