//! `dyno watch` on a backend: its instruments, without load. On a run it is [`crate::follow`]'s.

use std::time::Duration;

use dashboard::app::Capabilities;
use timeline::RunClock;
use timeline::facts::{EndReason, PlanFacts, RunEnd, RunMeta};
use timeline::recorder::{Options, Recorder};
use timeline::recording::FILE_NAME;
use timeline::snapshot::RunState;

use crate::backend_process::Backend;
use crate::cli::{Runtime, Ui, WatchArgs};
use crate::files::{make_folder, run_id};
use crate::follow::{self, find};
use crate::outcome::{Outcome, UserError};
use crate::run::prepare::{check_terminal, host_facts, mappings};
use crate::run::{diagnose, finish, stop};
use crate::screen::{Screen, announce_backend};
use crate::show::say;
use crate::sources::{Attach, Located, Permission, Settled, Sources};

/// How often the watch looks whether it shall end.
const LOOK: Duration = Duration::from_millis(100);
/// There is no load to change, and no folder unless one was asked for.
const CAPABILITIES: Capabilities = Capabilities { load: false, marker: false, report: false, replay: None };

/// Runs the command.
pub fn watch(args: WatchArgs) -> anyhow::Result<Outcome> {
    check_terminal(&args.look)?;
    let length = args.for_.as_deref().map(scenarios::duration_ns).transpose().map_err(UserError::wrong)?;
    let length = length.map(Duration::from_nanos);
    let found = match &args.target {
        Some(what) => find::named(what)?,
        None if args.attach.is_empty() && args.metrics.is_none() && args.out.is_none() => find::running()?,
        None => None,
    };
    if let Some(found) = found {
        return follow::follow(&found, &args, length);
    }
    let unix_ms = timeline::clock::unix_ms();
    let run_id = run_id(unix_ms, 0);
    let mut attach = Attach::parse_all(&args.attach)?;
    let mappings = mappings(args.metrics.as_deref())?;
    let folder = args.out.as_deref().map(|out| make_folder(Some(out), &run_id)).transpose()?;
    // Gone with the watch.
    let log = || tempfile::Builder::new().prefix("dyno-watch-").suffix(".log").tempfile();
    let own_log = args.target.is_none().then(log).transpose()?;
    let backend = own_log.as_ref().map(|log| {
        announce_backend(&args.look);
        // Nobody listens for signals yet: Ctrl-C ends us.
        Backend::start(2, Runtime::Rust, log.path(), || false)
    });
    let backend = backend.transpose()?;
    let (shown, target) = match (&args.target, &backend) {
        (Some(named), _) => {
            let url = scenarios::base_url(&with_scheme(named)).map_err(UserError::wrong)?;
            let mut at = Located::at(&url, &mappings);
            // Who names a port alone may mean a server of another kind, and those do not like to be asked in HTTP.
            at.http = at.http.filter(|_| named.contains("://"));
            // A watch may be there before its service.
            at.awaited = true;
            (url.to_string(), at)
        }
        (None, Some(b)) => {
            attach.push(Attach::Agent { url: b.ready.probe.clone(), token: b.token.clone() });
            (b.ready.url.clone(), Located::default())
        }
        (None, None) => unreachable!("without a target a backend was started"),
    };
    if attach.is_empty() {
        attach.push(Attach::Auto);
    }
    let permission = Permission::of(args.yes, attach.iter().any(Attach::is_inspector), false);
    let settled = Settled::of(&attach, &target, permission)?;
    // Lines say it by themselves.
    let nobody = settled.nobody.clone().filter(|_| args.look.ui == Ui::None);
    // Not before: at the question whether to look inside, Ctrl-C ends us.
    let stops = stop::listen()?;

    let meta = RunMeta {
        run_id,
        dyno_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix_ms: unix_ms,
        command: "watch".to_owned(),
        scenario: "watch".to_owned(),
        target: shown,
        bundled: backend.is_some(),
        host: host_facts(crate::cores::usable().len(), None),
        ..RunMeta::default()
    };
    let clock = RunClock::start();
    let options = Options {
        clock,
        meta,
        plan: PlanFacts::default(),
        gates: Vec::new(),
        state: RunState::Watching,
        diagnose: diagnose(),
    };
    let recording = folder.as_ref().map(|f| f.join(FILE_NAME));
    let recorder = Recorder::start(options, recording.as_deref())?;
    let handle = recorder.handle();
    let sources = Sources::attach(settled, &mappings, &handle)?;
    handle.attached(&sources.about());
    let screen = Screen::start(&args.look, None, CAPABILITIES, handle.published())?;
    nobody.iter().for_each(|line| say(format_args!("dyno: {line}")));

    loop {
        let over = length.is_some_and(|l| clock.now().since(timeline::RunTime::ZERO) >= l);
        stops.hear(&screen);
        if over || screen.is_gone() || stops.asked() > 0 {
            break;
        }
        std::thread::sleep(LOOK);
    }
    handle.attached(&sources.about());
    let (mut notes, mut unsaid) = (sources.remarks(), sources.lacks());
    sources.keep_profile(clock.origin(), &handle);
    let left = sources.end(|| stops.hurried(&screen));
    notes.extend(left.clone());
    let end = RunEnd { reason: EndReason::Completed, at: clock.now(), notes };
    let finished = recorder.finish(end);
    // What was waited for in vain: lines have told of it, a dashboard takes its log with it.
    if !screen.stays() && args.look.ui != Ui::None {
        unsaid.clear();
    }
    unsaid.extend(left);
    screen.close();
    drop(backend);
    match folder {
        Some(folder) => finish::finish(&finished, &folder, None, None),
        None => {
            // There is no report whose notes would say it.
            unsaid.iter().for_each(|line| say(format_args!("dyno: {line}")));
            Ok(Outcome::Pass)
        }
    }
}

/// `:3000` and `127.0.0.1:3000` are what people type.
fn with_scheme(target: &str) -> String {
    match target {
        t if t.contains("://") => t.to_owned(),
        t if t.starts_with(':') => format!("http://127.0.0.1{t}"),
        t => format!("http://{t}"),
    }
}

#[cfg(test)]
mod tests {
    use super::with_scheme;

    #[test]
    fn a_port_alone_is_enough() {
        assert_eq!(with_scheme(":3000"), "http://127.0.0.1:3000");
        assert_eq!(with_scheme("localhost:80"), "http://localhost:80");
        assert_eq!(with_scheme("http://x:1/y"), "http://x:1/y");
    }
}
