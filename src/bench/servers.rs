//! The servers that are measured: the bundled backend, as it comes and unwatched, and what it is measured beside.
//!
//! Owns starting them on their half of the cores, each with one worker, and which processes are whose.

use timeline::fault::FaultOrder;

use super::machine;
use super::process::{Place, Targets};
use crate::backend_process::Backend;
use crate::cli::{Runtime, TargetKind};
use crate::family::family;
use crate::run::truth::Control;

/// Options with which the backend keeps to itself, whatever the environment names.
const EMBEDDED: [&str; 6] = ["--database", "sqlite", "--cache", "memory", "--broker", "memory"];

/// What serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A hyper server that does nothing else.
    Bare,
    /// An axum server whose WebSockets are as they come.
    Axum,
    /// The bundled backend.
    Shop,
    /// The same, its agents at rest.
    Unwatched,
}

impl Kind {
    /// As a person reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare hyper",
            Self::Axum => "axum as it comes",
            Self::Shop => "shop",
            Self::Unwatched => "shop, unwatched",
        }
    }
}

/// A server that runs. Dropping it ends it.
pub struct Server {
    /// What it is.
    pub kind: Kind,
    /// Where it listens.
    pub port: u16,
    running: Running,
    /// Sockets that it has without any client.
    own: u64,
}

enum Running {
    Target(Targets),
    Backend(Backend),
}

impl Server {
    /// Starts one.
    pub fn start(place: &Place<'_>, kind: Kind) -> anyhow::Result<Self> {
        let (port, running) = match kind {
            Kind::Bare | Kind::Axum => {
                let made_of = if kind == Kind::Axum { TargetKind::Axum } else { TargetKind::Hyper };
                let targets = Targets::start(place, 1, made_of)?;
                (targets.port, Running::Target(targets))
            }
            Kind::Shop | Kind::Unwatched => {
                let mut options = EMBEDDED.to_vec();
                options.extend((kind == Kind::Unwatched).then_some("--unwatched"));
                place.keep_to(|s| &s.target);
                let log = place.scratch.join("backend.log");
                let backend = Backend::start_with(1, Runtime::Rust, &options, &log, || false)?;
                let url = scenarios::base_url(&backend.ready.url).map_err(anyhow::Error::msg)?;
                (url.port, Running::Backend(backend))
            }
        };
        let mut server = Self { kind, port, running, own: 0 };
        server.own = machine::sockets(&server.serving());
        Ok(server)
    }

    /// The processes that serve.
    pub fn serving(&self) -> Vec<u32> {
        match &self.running {
            Running::Target(targets) => targets.pids(),
            Running::Backend(backend) => {
                let shops = backend.ready.workers.iter().filter(|w| w.name.starts_with("shop"));
                shops.map(|w| w.pid).collect()
            }
        }
    }

    /// Connections that it has accepted and holds.
    pub fn connections(&self) -> u64 {
        machine::sockets(&self.serving()).saturating_sub(self.own)
    }

    /// All its processes.
    pub fn family(&self) -> Vec<u32> {
        match &self.running {
            Running::Target(targets) => targets.pids(),
            Running::Backend(backend) => family(backend.pid()),
        }
    }

    /// Where its probe is, and the token; none where nothing watches.
    pub fn probe(&self) -> Option<(&str, &str)> {
        match &self.running {
            Running::Backend(b) if self.kind == Kind::Shop => Some((&b.ready.probe, &b.token)),
            _ => None,
        }
    }

    /// Switches a fault of the shop on.
    pub fn order(&self, order: &FaultOrder) -> anyhow::Result<()> {
        match &self.running {
            Running::Backend(b) => Control::new(&b.ready.probe, &b.token).order(order),
            Running::Target(_) => anyhow::bail!("{} has no faults", self.kind.name()),
        }
    }
}
