//! Journeys in code: goose scenarios, and the one that walks them when somebody else says so.
//!
//! goose is the language here, not the engine: [`Stage`] is what the visitors of a worker share (their client), a [`Walk`] is one
//! visitor, and whoever drives it decides when each transaction starts, how long it may take and when all is over.
//! Which journeys there are is [`registry`]'s business; their names and steps stand in `scenarios::journeys` too.

mod failure;
mod registry;
mod seen;
mod shop;
mod stage;
mod walk;

pub use failure::Failure;
pub use registry::{registry, scenario};
pub use seen::Seen;
pub use stage::{BadStage, Stage, StageOptions};
pub use walk::{Visit, Walk};
