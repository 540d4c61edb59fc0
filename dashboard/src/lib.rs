//! What a person sees while a run lasts: the terminal dashboard and the plain lines.
//!
//! Both are drawn from [`timeline::snapshot::Snapshot`] and from nothing else, so the speed of a
//! screen cannot change a measurement. This crate owns keys, layout, colours and words on the screen;
//! it leaves measuring to the recorder, judging to the profiler and the files of a run to `reports`.
//!
//! - [`tui`] runs the dashboard on a thread of its own;
//! - [`app`] is the same dashboard without a terminal: model, messages, update, view;
//! - [`plain`] writes `key=value` lines for logs, pipes and screen readers, where everything appears.

pub mod app;
pub mod keys;
pub mod plain;
pub mod theme;
pub mod tui;

mod axis;
mod canvas;
mod figures;
mod heatmap;
mod lanes;
mod layout;
mod mouse;
mod percentiles;
mod table;
mod tty;
mod views;

pub use layout::SizeClass;
