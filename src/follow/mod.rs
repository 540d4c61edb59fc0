//! `dyno watch` on a run: what its own screen shows, from another terminal or another host.
//!
//! On the same host the recording is read as it grows: whoever may read the run's folder may watch it, there is no socket that could
//! be attacked, and the run cannot tell whether it is watched. From another host the same bytes come from
//! [`crate::serve`]. Either way it is the recording that is read, from its start: a late joiner sees the history, and the
//! detectors come to the findings that the run itself shows. It is read-only: no key reaches the run.

pub mod find;
pub mod remote;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use dashboard::app::Capabilities;
use timeline::MonoNs;
use timeline::recorder::Follower;
use timeline::recording::{Reader, is_written};

use crate::cli::WatchArgs;
use crate::ended::user_error;
use crate::files::cannot;
use crate::outcome::{Outcome, UserError};
use crate::run::{diagnose, stop};
use crate::screen::{Screen, announce};
use crate::show::{columns, print, say};
use find::Found;
use remote::{Arrived, Remote};

/// How often we look whether something was appended.
const LOOK: Duration = Duration::from_millis(100);
/// Time from picture to picture, also while the history is read.
const PICTURE: Duration = Duration::from_millis(250);
/// Bytes of a file that are taken in at a time.
const CHUNK: u64 = 1 << 20;
/// Chunks taken in before the screen is served again.
const CHUNKS: usize = 16;
/// The run is somebody else's to change.
const CAPABILITIES: Capabilities = Capabilities { load: false, marker: false, report: false, replay: None };

/// Follows `found` until the run ends, the person leaves or `length` has passed.
pub fn follow(found: &Found, args: &WatchArgs, length: Option<Duration>) -> anyhow::Result<Outcome> {
    if !args.attach.is_empty() || args.metrics.is_some() || args.out.is_some() {
        return Err(UserError::wrong(
            "--attach, --metrics and --out belong to a target; a run has its own sources and folder",
        ));
    }
    if let Found::Here(path) = found
        && !is_written(path)
    {
        Reader::open(path).map_err(user_error)?; // what is no recording is no run that is over
        let run = path.display();
        return Err(UserError::wrong(format!("that run is over; `dyno replay {run}` plays it")));
    }
    let stops = stop::listen()?;
    let mut origin = Origin::of(found, args)?;
    let mut follower = Follower::new(origin.name(), diagnose());
    announce(&args.look, &format!("following {}; the run goes on when you leave", origin.name().display()));
    let screen = Screen::start(&args.look, None, CAPABILITIES, follower.published())?;
    let begin = MonoNs::now();
    let (mut pictured, mut over) = (None, None);
    let why = loop {
        let left = screen.is_gone() || screen.command().is_some_and(|c| stop::ends(&c));
        if left || stops.asked() > 0 || length.is_some_and(|l| MonoNs::now().since(begin) >= l) {
            break Why::Left;
        }
        if over.is_none() {
            over = take(&mut origin, &mut follower)?;
        }
        let more = follower.read(LOOK);
        let now = MonoNs::now();
        if pictured.is_none_or(|last| now.since(last) >= PICTURE) {
            pictured = Some(now);
            follower.publish();
        }
        if follower.end().is_some() {
            break Why::Ended;
        }
        if !more {
            if let Some(why) = over {
                break Why::Lost(why);
            }
            std::thread::sleep(LOOK);
        }
    };
    follower.publish();
    screen.close();
    conclude(&follower, &why)
}

/// Why we stop following.
enum Why {
    Ended,
    Left,
    Lost(String),
}

/// Takes in what has arrived; says why nothing more will, once that is so.
fn take(origin: &mut Origin, follower: &mut Follower) -> anyhow::Result<Option<String>> {
    for _ in 0..CHUNKS {
        match origin.take()? {
            None => break,
            Some(Arrived::Bytes(bytes)) => follower.feed(&bytes).map_err(user_error)?,
            Some(Arrived::Over(why)) => {
                return Ok(Some(why.unwrap_or_else(|| "it was cut off".to_owned())));
            }
        }
    }
    Ok(None)
}

/// The summary of a run that ended; of one that goes on, that it does.
fn conclude(follower: &Follower, why: &Why) -> anyhow::Result<Outcome> {
    let (Some(meta), Some((timeline, findings))) = (follower.meta(), follower.measured()) else {
        return match why {
            Why::Left => Ok(Outcome::Pass),
            Why::Ended => unreachable!("what has an end has a description"),
            Why::Lost(why) => Err(UserError::unreachable(format!("nothing came of the run: {why}"))),
        };
    };
    let own = env!("CARGO_PKG_VERSION");
    if meta.dyno_version != own {
        say(format_args!(
            "dyno: the run is dyno {}'s, the findings are those of this dyno {own}",
            timeline::text::clean(&meta.dyno_version, 40)
        ));
    }
    match why {
        Why::Left => {
            say(format_args!("dyno: left at {}; the run goes on", follower.at()));
            Ok(Outcome::Pass)
        }
        Why::Ended => {
            let summary = reports::Summary::new(meta, timeline, findings, follower.end());
            print(&reports::text::summary_within(&summary, &[], columns()))
        }
        Why::Lost(why) => {
            Err(UserError::unreachable(format!("the run was seen until {}, then {why}", follower.at())))
        }
    }
}

/// Where the recording comes from.
enum Origin {
    File { path: PathBuf, file: File },
    Remote { address: PathBuf, remote: Remote },
}

impl Origin {
    fn of(found: &Found, args: &WatchArgs) -> anyhow::Result<Self> {
        match found {
            Found::Here(path) => {
                let file = File::open(path).map_err(cannot("read", path))?;
                Ok(Self::File { path: path.clone(), file })
            }
            Found::There { address, tls } => {
                let remote = Remote::connect(address, *tls, args)?;
                Ok(Self::Remote { address: address.into(), remote })
            }
        }
    }

    fn name(&self) -> &Path {
        match self {
            Self::File { path, .. } => path,
            Self::Remote { address, .. } => address,
        }
    }

    fn take(&mut self) -> anyhow::Result<Option<Arrived>> {
        match self {
            Self::Remote { remote, .. } => Ok(remote.take()),
            Self::File { path, file } => {
                // Asked before reading: what was written before the end is read.
                let written = is_written(path);
                let mut bytes = Vec::new();
                file.take(CHUNK)
                    .read_to_end(&mut bytes)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                Ok(match (bytes.is_empty(), written) {
                    (false, _) => Some(Arrived::Bytes(bytes)),
                    (true, true) => None,
                    (true, false) => {
                        Some(Arrived::Over(Some("it was cut off: nobody writes it any more".to_owned())))
                    }
                })
            }
        }
    }
}
