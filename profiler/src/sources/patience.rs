//! Patience with whoever is to be attached, and does not answer in time.
//!
//! Owns how often one is asked. How long an answer may take is the source's to say; one that is read already fails by [`troubles`](super::troubles).

/// How often one is asked that is to be attached and does not answer in time: a machine that is busy has all stand still for seconds.
const TRIES: u32 = 3;

/// What `ask` gives of one that is to be attached. `late` is what comes of it where there is no answer in time: then it is asked again.
///
/// # Errors
/// What came of asking for the last time.
pub(super) fn patiently<T, E: PartialEq>(late: &E, mut ask: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    for _ in 1..TRIES {
        match ask() {
            Err(why) if why == *late => {}
            answer => return answer,
        }
    }
    ask()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_in_time_is_asked_again_and_nobody_else() {
        let asked = |answers: &[Result<u32, &'static str>]| {
            let mut left = answers.iter().copied();
            let answer = patiently(&"late", || left.next().unwrap());
            (answer, left.count())
        };
        assert_eq!(asked(&[Err("late"), Ok(7), Ok(8)]), (Ok(7), 1));
        assert_eq!(asked(&[Err("wrong"), Ok(7)]), (Err("wrong"), 1));
        assert_eq!(asked(&[Err("late"); 5]), (Err("late"), 2));
    }
}
