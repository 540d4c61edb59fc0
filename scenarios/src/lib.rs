//! What to do: a TOML scenario becomes an immutable [`RunPlan`](plan::RunPlan).

pub mod plan;
