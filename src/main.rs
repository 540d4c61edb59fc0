//! The one binary, `dyno`: parses the command line, runs the command, ends with a documented code.
//!
//! What the commands do is in the modules beside this one; how parts are wired is in [`run`].

mod backend_process;
mod bench;
mod ci;
mod cli;
mod compare;
mod cores;
mod ended;
mod family;
mod files;
mod follow;
mod goose;
mod import;
mod live;
mod outcome;
mod pages;
mod recording;
mod redact;
mod replay;
mod run;
mod score;
mod screen;
mod secret;
mod serve;
mod show;
mod sources;
mod twin;
mod verify;
mod watch;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{BenchCommand, Cli, Command, ScenariosCommand};
use outcome::{Outcome, error_code};

/// Also the backend's workers are this binary, and the agent can only see the heap through this.
#[global_allocator]
static ALLOC: agent::Alloc = agent::Alloc::new();

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            show::say(format_args!("dyno: {}", timeline::text::clean_page(&format!("{error:#}"))));
            ExitCode::from(error_code(&error))
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<Outcome> {
    match cli.command.unwrap_or_else(cli::default_command) {
        Command::Run(args) => run::run(*args),
        Command::Backend(args) => backend_process::serve(args),
        Command::Watch(args) => watch::watch(args),
        Command::Replay(args) => replay::play(&args),
        Command::Goose(args) => goose::goose(args),
        Command::Report(args) => ended::report(&args),
        Command::Redact(args) => redact::redact(&args),
        Command::Explain(args) => ended::explain(&args),
        Command::Score(args) => score::score(&args),
        Command::Compare(args) => compare::compare(&args),
        Command::Baseline(command) => compare::baseline(&command),
        Command::Plan(args) => show::plan(&args),
        Command::Scenarios(ScenariosCommand::List { json }) => show::list(json),
        Command::Scenarios(ScenariosCommand::Show { name }) => show::text(&name),
        Command::Scenarios(ScenariosCommand::Check { scenarios, vars }) => show::check(&scenarios, &vars),
        Command::Scenarios(ScenariosCommand::Schema) => show::schema(),
        Command::Scenarios(ScenariosCommand::Import(args)) => import::import(&args),
        Command::Recording(command) => recording::recording(&command),
        Command::Bench(BenchCommand::Engine(args)) => bench::engine(&args),
        Command::Bench(BenchCommand::Backend(args)) => bench::backend(&args),
        Command::Bench(BenchCommand::Sources(args)) => bench::sources(&args),
        Command::BenchTarget { kind, port } => bench::target(kind, port),
        Command::Completions { shell } => pages::completions(&mut Cli::command(), shell),
        Command::Man(args) => pages::man(Cli::command(), &args),
        Command::Grafana => show::print(&reports::grafana::dashboard()),
        Command::BackendWorker => backend_process::work(),
        Command::LoadWorker => run::load_worker(),
        Command::GroupGuard { group } => {
            goose::guard(group, io::stdin().lock());
            Ok(Outcome::Pass)
        }
        Command::InspectorGuard { processes } => {
            profiler::sources::v8::guard(&processes, io::stdin().lock());
            Ok(Outcome::Pass)
        }
    }
}
