//! Serial queries, and its cure: how questions that do not depend on each other are asked.
//!
//! The fault awaits each before it asks the next, so that the answer takes as long as all together. The cure asks them
//! all and awaits them together; then it takes as long as the slowest.

use timeline::fault::FaultKind;

use super::{Faults, Lever};
use crate::store::StoreError;

/// Looked at by every request for the dashboard.
pub const LEVER: Lever = Lever::switch_only(FaultKind::SerialQueries);

/// A question not yet asked.
pub trait Question<T>: Future<Output = Result<T, StoreError>> {}
impl<T, F: Future<Output = Result<T, StoreError>>> Question<T> for F {}

/// The answers to six questions.
pub async fn ask<A, B, C, D, E, F>(
    faults: &Faults,
    (a, b, c, d, e, f): (
        impl Question<A>,
        impl Question<B>,
        impl Question<C>,
        impl Question<D>,
        impl Question<E>,
        impl Question<F>,
    ),
) -> Result<(A, B, C, D, E, F), StoreError> {
    let switch = &faults[FaultKind::SerialQueries];
    if !switch.is_on() {
        return tokio::try_join!(a, b, c, d, e, f);
    }
    let first = a.await?;
    // The second one is late from here on.
    switch.took_effect();
    Ok((first, b.await?, c.await?, d.await?, e.await?, f.await?))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::super::testing::armed;
    use super::*;

    /// The order in which six questions begin and end, each of which takes two turns.
    async fn story(faults: &Faults) -> String {
        let (story, next) = (RefCell::new(String::new()), Cell::new('a'));
        let question = || async {
            let name = next.replace((next.get() as u8 + 1) as char);
            story.borrow_mut().push(name);
            tokio::task::yield_now().await;
            story.borrow_mut().push(name.to_ascii_uppercase());
            Ok::<char, StoreError>(name)
        };
        let all = (question(), question(), question(), question(), question(), question());
        assert_eq!(ask(faults, all).await.unwrap(), ('a', 'b', 'c', 'd', 'e', 'f'));
        story.into_inner()
    }

    #[tokio::test]
    async fn the_fault_asks_one_after_the_other_and_the_cure_all_at_once() {
        let (cure, told) = armed(&[]);
        let cured = story(&cure).await;
        assert!(cured.starts_with("abcdef"), "all are asked before one is answered: {cured}");
        assert_eq!(told.told(), Vec::<String>::new());
        let (fault, told) = armed(&[(FaultKind::SerialQueries, &[])]);
        assert_eq!(story(&fault).await, "aAbBcCdDeEfF");
        assert_eq!(told.told(), ["armed", "onset"]);
    }
}
