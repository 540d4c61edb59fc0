//! What an answer or an awaited message must be, and what is kept of it.

use serde::{Deserialize, Serialize};

use super::Slot;

/// What must hold of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Check {
    /// Status lies in one of these ranges, both ends included. Without this check any status below 400 is right.
    Status(Vec<(u16, u16)>),
    /// Service time compares so with this, ns.
    Time(Compare, u64),
    /// The body's length compares so with this, bytes.
    Size(Compare, u64),
    /// The body.
    Body(TextTest),
    /// The first header field of this name.
    Header(String, FieldTest),
    /// What the JSONPath finds.
    Json(String, JsonTest),
}

/// What must hold of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextTest {
    /// It is this.
    Equals(String),
    /// It contains this.
    Contains(String),
    /// This regular expression matches somewhere in it.
    Matches(String),
}

/// What must hold of a header field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldTest {
    /// It is there, be it empty.
    Exists,
    /// It is not there.
    Absent,
    /// It is there and not empty.
    NotEmpty,
    /// It is there and this holds of it.
    Text(TextTest),
}

/// What must hold of what a JSONPath finds; except for `Absent`, of the first value found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum JsonTest {
    /// It finds something, be it null.
    Exists,
    /// It finds nothing.
    Absent,
    /// It finds something that is not null, not "", not [] and not {}.
    NotEmpty,
    /// It is this value.
    Equals(serde_json::Value),
    /// It is a number that compares so.
    Number(Compare, f64),
    /// It is an array, object or text whose length compares so.
    Length(Compare, f64),
    /// It is a text, a number or a boolean, and this holds of it as it is written.
    Text(TextTest),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compare {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    Other,
}

impl Compare {
    /// As it is written, longest spelling first.
    pub const SPELLINGS: [(&'static str, Self); 6] = [
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("==", Self::Equal),
        ("!=", Self::Other),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    /// As it is written.
    #[must_use]
    pub fn sign(self) -> &'static str {
        Self::SPELLINGS.iter().find(|(_, compare)| *compare == self).map_or("", |(sign, _)| *sign)
    }

    /// Does it hold of two things in this order?
    #[must_use]
    pub fn holds_of(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Equal => order.is_eq(),
            Self::Other => order.is_ne(),
        }
    }

    /// Does it hold of `a` and `b`, in this order? Never of a NaN.
    #[must_use]
    pub fn holds(self, a: f64, b: f64) -> bool {
        a.partial_cmp(&b).is_some_and(|order| self.holds_of(order))
    }
}

/// What an awaited message or event must be beyond being the awaited one, and what is kept of it. It has neither status nor header
/// fields nor cookies; its text is the body.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// What must hold; a step whose check fails counts as an error of kind `check`.
    pub checks: Vec<Check>,
    /// What is kept for later steps.
    pub saves: Vec<Save>,
}

/// What is kept of an answer or a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Save {
    /// Into which variable.
    pub slot: Slot,
    /// From where.
    pub from: Capture,
    /// Which, where there are several.
    pub pick: Pick,
}

/// Which of several values is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pick {
    /// The first one.
    #[default]
    First,
    /// The last one.
    Last,
    /// One at random.
    Random,
    /// How many there are.
    Count,
}

/// Where a saved value comes from. If nothing is there, or a null, or more than 64 KiB, the variable becomes unset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Capture {
    /// `$.token`: what the JSONPath finds.
    Json(String),
    /// `regex:order-(\d+)`: what the first group captures, or the whole match.
    Regex(String),
    /// `header:Location`: the first field of this name.
    Header(String),
    /// `cookie:sid`: a cookie that the answer sets, or that the session has.
    Cookie(String),
    /// `body`: the whole text, if it is UTF-8.
    Body,
    /// `status`.
    Status,
}
