//! The billing service: an invoice with tax, and a checksum under it that a book-keeper can compare.
//!
//! For an order that is reported it ends where the books would begin: the finished invoice is measured and dropped. Who asks for an
//! invoice gets it signed.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::signing;
use crate::broker::Placed;

/// Tax in every price, in percent.
const TAX_PERCENT: u64 = 19;

/// Writes the invoice; gives its length in bytes.
pub fn bill(placed: &Placed) -> usize {
    invoice(placed).len()
}

/// Writes the invoice, with so many signatures.
pub fn signed(placed: &Placed, signatures: usize) -> String {
    let mut invoice = invoice(placed);
    let signature = BASE64_STANDARD.encode(signing::sign(invoice.as_bytes(), signatures));
    writeln!(invoice, "signature,{signature}").expect("writing to a string cannot fail");
    invoice
}

fn invoice(placed: &Placed) -> String {
    let content = &placed.content;
    let mut invoice =
        format!("invoice,{},customer,{},at,{}\n", placed.order, content.customer, content.at_ms);
    let mut sum = 0;
    for line in &content.lines {
        let gross = u64::from(line.quantity) * u64::from(line.cents);
        sum += gross;
        writeln!(invoice, "{},{},{},{gross},{}", line.product, line.quantity, line.cents, tax_in(gross))
            .expect("writing to a string cannot fail");
    }
    let check = checksum(invoice.as_bytes());
    writeln!(invoice, "total,{sum},tax,{},check,{check:016x}", tax_in(sum))
        .expect("writing to a string cannot fail");
    invoice
}

/// Of a sum that holds it already; rounded down.
fn tax_in(gross: u64) -> u64 {
    gross * TAX_PERCENT / (100 + TAX_PERCENT)
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Bought, Content};

    #[test]
    fn the_invoice_adds_up() {
        let line = |product, quantity, cents| Bought { product, quantity, cents };
        let content =
            Content { customer: 1, cents: 2_380, at_ms: 5, lines: vec![line(7, 1, 1_190), line(8, 2, 595)] };
        let invoice = invoice(&Placed { order: 9, content });
        assert!(invoice.starts_with("invoice,9,customer,1,at,5\n7,1,1190,1190,190\n"), "{invoice}");
        assert!(invoice.contains("total,2380,tax,380,check,"), "{invoice}");
    }
}
