//! The small languages inside a scenario's texts: quantities, addresses, templates, header fields, JSON and form bodies.
//!
//! Each reader here is a pure function of a text; none knows about TOML or files.

pub(crate) mod address;
pub(crate) mod condition;
mod date;
pub(crate) mod field;
pub(crate) mod form;
pub(crate) mod functions;
pub(crate) mod json;
pub(crate) mod pattern;
pub(crate) mod quantity;
pub(crate) mod template;
