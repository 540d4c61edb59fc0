//! Which journeys there are: one line each.

use goose::GooseError;
use goose::prelude::Scenario;

use crate::shop;

type Make = fn() -> Result<Scenario, GooseError>;

/// Names, as `scenarios::journeys` has them, and code.
const ALL: &[(&str, Make)] = &[
    ("shop-browse", shop::browse::scenario),
    ("shop-checkout", shop::checkout::scenario),
    ("shop-live", shop::live::scenario),
];

/// All journeys with their code, in the order of `scenarios::journeys::ALL`.
///
/// # Errors
/// What goose says against one of them, such as an empty pause.
pub fn registry() -> Result<Vec<(&'static str, Scenario)>, GooseError> {
    ALL.iter().map(|(name, make)| Ok((*name, make()?))).collect()
}

/// The code of one journey; none if there is no such name.
///
/// # Errors
/// What goose says against it.
pub fn scenario(name: &str) -> Result<Option<Scenario>, GooseError> {
    ALL.iter().find(|(n, _)| *n == name).map(|(_, make)| make()).transpose()
}

#[cfg(test)]
mod tests {
    use scenarios::journeys::{ALL, When};

    /// The parser of scenarios knows the table only; what it promises must be what runs.
    #[test]
    fn the_table_of_names_is_what_the_code_does() {
        let code = super::registry().unwrap();
        assert_eq!(
            code.iter().map(|(n, _)| *n).collect::<Vec<_>>(),
            ALL.iter().map(|j| j.name).collect::<Vec<_>>()
        );
        for (table, (name, scenario)) in ALL.iter().zip(&code) {
            assert_eq!(&*scenario.name, *name);
            let pause = scenario.transaction_wait.map(|(a, b)| (a.as_millis() as u64, b.as_millis() as u64));
            assert_eq!(pause, table.pause_ms, "{name}");
            let told: Vec<_> =
                table.transactions.iter().map(|t| (t.name, t.when, t.weight as usize)).collect();
            let done: Vec<_> = scenario
                .transactions
                .iter()
                .map(|t| {
                    let when = match (t.on_start, t.on_stop) {
                        (true, _) => When::Start,
                        (_, true) => When::Stop,
                        _ => When::Visit,
                    };
                    (t.name.name_for_transaction(), when, t.weight)
                })
                .collect();
            assert_eq!(told, done, "{name}");
        }
    }
}
