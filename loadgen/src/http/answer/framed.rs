//! The same answer where heads and bodies come apart already, as HTTP/2 frames them.
//!
//! Owns what of a head is kept. Lengths and ends are the frames' business.

use super::head::{self, Noted};
use super::{Answer, At, Body, Came};
use crate::http::{FIELDS_MAX, INTERIM_MAX};
use crate::kind::ErrorKind;

impl Answer<'_> {
    /// Takes an interim (1xx) head.
    ///
    /// # Errors
    /// [`ErrorKind::BadHead`] if there are too many, or one that means nothing here.
    pub fn take_interim(&mut self, status: u16) -> Result<(), ErrorKind> {
        self.note();
        self.interim = self.interim.saturating_add(1);
        if status == 100 {
            self.came = Came::Leave;
        }
        if status == 101 || self.interim > INTERIM_MAX { Err(ErrorKind::BadHead) } else { Ok(()) }
    }

    /// Takes the head; the body goes on until [`Answer::end`].
    ///
    /// # Errors
    /// [`ErrorKind::BadHead`], as of a head that comes as a text.
    pub fn take_head<'h, I: Iterator<Item = (&'h str, &'h [u8])>>(
        &mut self,
        status: u16,
        fields: impl Fn() -> I,
    ) -> Result<(), ErrorKind> {
        self.note();
        let mut noted = Noted::default();
        for (i, (name, value)) in fields().enumerate() {
            if i == FIELDS_MAX {
                return Err(ErrorKind::BadHead);
            }
            noted.take(name, value, self.want)?;
        }
        self.fields = head::kept(self.want, self.upgrade, fields);
        (self.status, self.at) = (status, At::Body(Body::UntilClose));
        (self.located, self.coding, self.cookies) = (noted.located, noted.coding, noted.cookies);
        Ok(())
    }

    /// Takes a piece of the body.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] if more comes than is kept.
    pub fn take_data(&mut self, data: &[u8]) -> Result<(), ErrorKind> {
        self.keep(data)
    }

    /// The answer is whole.
    pub fn end(&mut self) {
        self.at = At::Done;
    }
}
