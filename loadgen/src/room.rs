//! What a worker keeps of answers, messages and events, over all its sessions together.
//!
//! Each of them has a limit of its own; owns the limit of their sum, so that thousands of sessions against a target that
//! answers all of them with giants end in errors, and not in a machine without memory. A worker's sessions run on one
//! thread, and it is the thread that counts.

use std::cell::Cell;

use crate::kind::ErrorKind;

/// Bytes that all sessions of a worker keep at most. Buffers grow by doubling, so memory may be twice that: half a
/// gigabyte, which is 32 bodies of the largest size that is accepted, or 32,000 of 8 KiB.
pub const ROOM: usize = 256 << 20;

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

/// How much of the room one buffer takes; given back when it is dropped.
#[derive(Debug, Default)]
pub struct Share(usize);

impl Share {
    /// The buffer holds so many bytes now.
    ///
    /// # Errors
    /// [`ErrorKind::NoRoom`] if it has grown, and the room is full; the share stays what it was.
    pub fn is(&mut self, bytes: usize) -> Result<(), ErrorKind> {
        self.is_within(bytes, ROOM)
    }

    /// The same of what can be done without: half of the room is left to what cannot.
    ///
    /// # Errors
    /// As [`Share::is`], where half of the room is taken.
    pub fn is_spare(&mut self, bytes: usize) -> Result<(), ErrorKind> {
        self.is_within(bytes, ROOM / 2)
    }

    fn is_within(&mut self, bytes: usize, room: usize) -> Result<(), ErrorKind> {
        if bytes == self.0 {
            return Ok(());
        }
        TAKEN.with(|taken| {
            let all = taken.get() - self.0 + bytes;
            if bytes > self.0 && all > room {
                return Err(ErrorKind::NoRoom);
            }
            taken.set(all);
            self.0 = bytes;
            Ok(())
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        TAKEN.with(|taken| taken.set(taken.get() - self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_gives_back_another_may_take() {
        let (mut a, mut b) = (Share::default(), Share::default());
        assert_eq!((a.is(ROOM - 10), b.is(10)), (Ok(()), Ok(())));
        assert_eq!((b.is(11), b.is(4), a.is(ROOM)), (Err(ErrorKind::NoRoom), Ok(()), Err(ErrorKind::NoRoom)));
        drop(a);
        assert_eq!((b.is(ROOM), Share::default().is(1)), (Ok(()), Err(ErrorKind::NoRoom)));
    }

    #[test]
    fn half_of_the_room_is_left_to_what_cannot_be_done_without() {
        let (mut needed, mut spare) = (Share::default(), Share::default());
        assert_eq!(
            (spare.is_spare(ROOM / 2), spare.is_spare(ROOM / 2 + 1)),
            (Ok(()), Err(ErrorKind::NoRoom))
        );
        assert_eq!(
            (needed.is(ROOM / 2), spare.is_spare(10), spare.is_spare(11)),
            (Ok(()), Ok(()), Err(ErrorKind::NoRoom))
        );
    }
}
