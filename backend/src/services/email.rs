//! The e-mail service: writes the message that tells a customer what was bought, and signs it.
//!
//! It ends where a mail server would begin: the finished message is measured and dropped.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::signing;
use crate::broker::Placed;

/// A line of a coded body has so many characters (RFC 2045, section 6.8).
const LINE: usize = 76;

/// Writes the message, with so many signatures; gives its length in bytes.
pub fn send(placed: &Placed, signatures: usize) -> usize {
    let message = message(placed);
    let signature = BASE64_STANDARD.encode(signing::sign(message.as_bytes(), signatures));
    message.len() + signature.len()
}

fn message(placed: &Placed) -> String {
    let content = &placed.content;
    let mut body =
        format!("Dear customer {},\n\nthank you for your order {}:\n\n", content.customer, placed.order);
    for line in &content.lines {
        let sum = u64::from(line.quantity) * u64::from(line.cents);
        writeln!(body, "{:>4} x product {:<8} {:>12}", line.quantity, line.product, money(sum))
            .expect("writing to a string cannot fail");
    }
    let total = u64::try_from(content.cents).unwrap_or_default();
    write!(body, "\nTotal {}\n\nIt is on its way.\n", money(total)).expect("writing to a string cannot fail");
    let mut message = format!(
        "To: customer-{}@example.invalid\r\nSubject: Your order {}\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        content.customer, placed.order
    );
    let coded = BASE64_STANDARD.encode(body);
    for line in coded.as_bytes().chunks(LINE) {
        message.extend(line.iter().map(|b| char::from(*b)));
        message.push_str("\r\n");
    }
    message
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Bought, Content};

    #[test]
    fn the_message_says_what_was_bought() {
        let lines = vec![Bought { product: 7, quantity: 3, cents: 1_999 }];
        let content = Content { customer: 12, cents: 5_997, at_ms: 0, lines };
        let message = message(&Placed { order: 31, content });
        let (head, body) = message.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Subject: Your order 31"));
        assert!(body.lines().all(|l| l.len() <= LINE));
        let body = BASE64_STANDARD.decode(body.replace("\r\n", "")).unwrap();
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains("3 x product 7") && body.contains("Total 59.97"), "{body}");
    }
}
