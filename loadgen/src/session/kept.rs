//! What came before the step that awaits it.
//!
//! Owns how much of that is kept: the newest. Whether there is such a step is known by [`Ahead`]; where there is none, nothing
//! is kept and nothing made for it. Every message was counted as pushed when it came, so that one which is dropped is in no
//! figure a second time.
//!
//! [`Ahead`]: crate::program::Ahead

use std::collections::VecDeque;

use crate::room::Share;

/// Most messages that are kept: what a server pushes in the time of one request, not in that of a pause.
const COUNT_MAX: usize = 64;
/// Most bytes of them, unless it is a single longer one: ten thousand sessions may keep as much at a time.
const BYTES_MAX: usize = 16 << 10;

/// Messages in the order in which they came, each with its length in bytes.
#[derive(Debug)]
pub(super) struct Kept<M> {
    all: VecDeque<(M, usize)>,
    bytes: usize,
    share: Share,
}

impl<M> Default for Kept<M> {
    fn default() -> Self {
        Self { all: VecDeque::new(), bytes: 0, share: Share::default() }
    }
}

impl<M> Kept<M> {
    /// Begins to keep messages, goes on, or forgets all.
    pub(super) fn set(kept: &mut Option<Box<Self>>, wanted: bool) {
        if !wanted {
            *kept = None;
        } else if kept.is_none() {
            *kept = Some(Box::default());
        }
    }

    /// Keeps a message of so many bytes; the oldest make room for it. Where the worker has none, it is not kept.
    pub(super) fn keep(&mut self, bytes: usize, message: impl FnOnce() -> M) {
        let bytes = bytes + size_of::<(M, usize)>();
        while self.all.len() >= COUNT_MAX || self.bytes + bytes > BYTES_MAX {
            if !self.drop_oldest() {
                break;
            }
        }
        while self.share.is_spare(self.bytes + bytes).is_err() {
            if !self.drop_oldest() {
                return;
            }
        }
        self.bytes += bytes;
        self.all.push_back((message(), bytes));
    }

    /// Takes the oldest that matches; says whether there was one.
    pub(super) fn take(&mut self, mut matches: impl FnMut(&M) -> bool) -> bool {
        let Some(at) = self.all.iter().position(|(message, _)| matches(message)) else { return false };
        let taken = self.all.remove(at);
        self.gone(taken.map_or(0, |(_, bytes)| bytes));
        true
    }

    /// False if there is none.
    fn drop_oldest(&mut self) -> bool {
        let Some((_, bytes)) = self.all.pop_front() else { return false };
        self.gone(bytes);
        true
    }

    fn gone(&mut self, bytes: usize) {
        self.bytes -= bytes;
        // A share that shrinks is never refused.
        let _ = self.share.is(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::ROOM;

    fn kept(lengths: &[usize]) -> Kept<usize> {
        let mut kept = Kept::default();
        lengths.iter().enumerate().for_each(|(i, length)| kept.keep(*length, || i));
        kept
    }

    fn all(kept: &Kept<usize>) -> Vec<usize> {
        kept.all.iter().map(|(message, _)| *message).collect()
    }

    #[test]
    fn the_oldest_that_matches_is_taken_and_only_once() {
        let mut kept = kept(&[1, 2, 3, 4]);
        assert!(kept.take(|m| m % 2 == 1) && kept.take(|m| m % 2 == 1) && !kept.take(|m| m % 2 == 1));
        assert_eq!(all(&kept), [0, 2]);
        assert!(kept.take(|_| true) && kept.take(|_| true) && !kept.take(|_| true));
        assert_eq!(kept.bytes, 0);
    }

    #[test]
    fn the_newest_are_kept_within_bounds() {
        let many = kept(&[10; 3 * COUNT_MAX]);
        assert_eq!(all(&many), (2 * COUNT_MAX..3 * COUNT_MAX).collect::<Vec<_>>());
        let long = kept(&[BYTES_MAX / 4; 9]);
        assert_eq!(all(&long), [6, 7, 8], "the messages themselves take some bytes, too");
        assert!(long.bytes <= BYTES_MAX);
        let mut giant = kept(&[10, 10, 50 * BYTES_MAX]);
        assert_eq!(all(&giant), [2], "one that is longer than all is kept alone");
        giant.keep(10, || 3);
        assert_eq!(all(&giant), [3]);
    }

    #[test]
    fn what_others_need_is_left_to_them() {
        let mut kept = kept(&[1000, 1000]);
        let mut others = Share::default();
        assert_eq!(others.is(ROOM - 2 * kept.bytes), Ok(()));
        kept.keep(1000, || 2);
        assert!(all(&kept).is_empty());
        drop(others);
        kept.keep(1000, || 3);
        assert_eq!(all(&kept), [3]);
    }

    #[test]
    fn nothing_is_made_where_nothing_is_awaited() {
        let mut kept: Option<Box<Kept<u8>>> = None;
        Kept::set(&mut kept, false);
        assert!(kept.is_none());
        Kept::set(&mut kept, true);
        kept.as_mut().unwrap().keep(1, || 7);
        Kept::set(&mut kept, true);
        assert!(kept.as_mut().unwrap().take(|m| *m == 7));
        Kept::set(&mut kept, false);
        assert!(kept.is_none());
    }
}
