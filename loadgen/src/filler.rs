//! Bytes that are made while they are sent.
//!
//! Any of them follows from a seed and its place alone, so that a body of any size needs no memory, and one that is sent again is
//! the same.

use scenarios::plan::Filler;

use crate::random::mix;

/// Letters of a line of generated text, the line feed included.
const LINE: u64 = 64;

/// Appends the bytes from `from` to `to` of a body.
pub fn write(filler: Filler, seed: u64, from: u64, to: u64, out: &mut Vec<u8>) {
    match filler {
        Filler::Zeros => out.resize(out.len() + (to - from) as usize, 0),
        Filler::Random => bytes(seed, from, to, |_, byte| byte, out),
        Filler::Text => bytes(seed, from, to, letter, out),
    }
}

/// A body is a row of 64-bit numbers, each mixed from the seed and its place.
fn bytes(seed: u64, from: u64, to: u64, make: impl Fn(u64, u8) -> u8, out: &mut Vec<u8>) {
    let mut at = from;
    while at < to {
        let word = mix(seed, at / 8).to_le_bytes();
        let until = (at / 8 * 8 + 8).min(to);
        out.extend((at..until).map(|i| make(i, word[(i % 8) as usize])));
        at = until;
    }
}

fn letter(at: u64, byte: u8) -> u8 {
    match byte {
        _ if at % LINE == LINE - 1 => b'\n',
        // About every sixth one parts two words.
        0..43 => b' ',
        n => b'a' + n % 26,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_cut_gives_the_same(seed: u64, cuts in prop::collection::vec(0u64..300, 0..6)) {
            for filler in [Filler::Random, Filler::Zeros, Filler::Text] {
                let mut whole = Vec::new();
                write(filler, seed, 0, 300, &mut whole);
                let mut ends = [&[0, 300][..], &cuts].concat();
                ends.sort_unstable();
                let mut pieces = Vec::new();
                ends.windows(2).for_each(|w| write(filler, seed, w[0], w[1], &mut pieces));
                prop_assert_eq!(&whole, &pieces);
            }
        }
    }

    #[test]
    fn random_bytes_take_all_values_and_text_is_text() {
        let made = |filler| {
            let mut out = Vec::new();
            write(filler, 5, 0, 100_000, &mut out);
            out
        };
        let random = made(Filler::Random);
        assert!((0..=255u8).all(|b| random.contains(&b)));
        let text = String::from_utf8(made(Filler::Text)).unwrap();
        assert!(text.chars().all(|c| matches!(c, 'a'..='z' | ' ' | '\n')));
        assert_eq!(text.lines().next().unwrap().len(), 63);
    }
}
