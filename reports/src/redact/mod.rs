//! What must not leave the house in a recording that is given away: every chosen name.
//!
//! Owns the pseudonyms (`statement-2`, `host-1`), which are stable within a run: the same text has the same one everywhere, in the
//! order in which texts are met. Figures are never touched. What reports on a CI server leave out is [`crate::discreet`]'s business.

mod names;
mod strict;

pub(crate) use names::Names;
pub use strict::Redactor;
