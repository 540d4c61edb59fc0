//! What must not leave the house: statement text and addresses in published reports, every chosen name in a redacted recording.
//!
//! Owns the pseudonyms (`statement-2`, `host-1`), which are stable within a run: the same text has the same one everywhere, in the
//! order in which texts are met. Figures are never touched. [`publishable`] is for reports that a CI service shows;
//! [`Redactor`] is for `dyno redact`.

mod addresses;
mod names;
mod published;
mod strict;

pub use published::{Publishable, publishable};
pub use strict::Redactor;
