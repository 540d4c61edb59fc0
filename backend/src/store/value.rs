//! Values as they go into statements and come out of rows, the same for both databases.
//!
//! The shop's tables know whole numbers (64 bits), floating point numbers, texts and bytes, so these are
//! all the kinds there are.

use super::StoreError;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing there.
    Null,
    /// A whole number.
    Int(i64),
    /// A floating point number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// In a transaction: the first column of the first row that its step of this number gave.
    Returned(usize),
}

impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Self::Int(n.into())
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

/// `values![1_u32, "text"]`: the parameters of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::Value::from($value)),*] };
}
pub(crate) use values;

/// A row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub(super) Vec<Value>);

impl Row {
    /// The value of a column, counted from 0.
    ///
    /// # Errors
    /// When there is no such column or it holds something else: then statement and reader do not fit.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T, StoreError> {
        let value = self.0.get(column);
        value.and_then(T::from_value).ok_or_else(|| {
            StoreError::Failed(format!("column {column} holds {value:?}, which does not fit").into())
        })
    }
}

/// What can be read from a value.
pub trait FromValue: Sized {
    /// None when the value is of another kind, or out of range.
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Int(n) = value { Some(*n) } else { None }
    }
}

impl FromValue for u32 {
    fn from_value(value: &Value) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Real(x) = value { Some(*x) } else { None }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text.clone()) } else { None }
    }
}

impl<const N: usize> FromValue for [u8; N] {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Bytes(bytes) = value { bytes.as_slice().try_into().ok() } else { None }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        if *value == Value::Null { Some(None) } else { T::from_value(value).map(Some) }
    }
}

/// One statement of a transaction.
#[derive(Debug)]
pub struct Step {
    /// Its text, with parameters `?1`, `?2`.
    pub sql: &'static str,
    /// Its parameters.
    pub with: Vec<Value>,
    /// How many rows it must change or give; any other number undoes the whole transaction.
    pub rows: Option<u64>,
}

impl Step {
    /// A statement that may change any number of rows.
    pub fn new(sql: &'static str, with: Vec<Value>) -> Self {
        Self { sql, with, rows: None }
    }

    /// It must change or give exactly so many rows.
    pub fn changing(self, rows: u64) -> Self {
        Self { rows: Some(rows), ..self }
    }

    /// Does a statement that touched so many rows keep the transaction going?
    pub(super) fn accepts(&self, rows: u64) -> bool {
        self.rows.is_none_or(|wanted| wanted == rows)
    }
}

/// What became of a transaction.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// It is committed. For each step, the first column of its first row, if it gave one.
    Done(Vec<Option<Value>>),
    /// The step of this number changed another number of rows than it must, so nothing was done.
    Stopped(usize),
}

/// The parameters of a step, with what earlier steps returned put in.
pub(super) fn resolved(with: &[Value], returned: &[Option<Value>]) -> Vec<Value> {
    let resolve = |value: &Value| match value {
        Value::Returned(step) => returned.get(*step).cloned().flatten().unwrap_or(Value::Null),
        other => other.clone(),
    };
    with.iter().map(resolve).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_read_as_what_it_is_or_not_at_all() {
        let row = Row(values![7_u32, "seven", [7_u8; 2]]);
        assert_eq!(row.get::<u32>(0).unwrap(), 7);
        assert_eq!(row.get::<Option<String>>(1).unwrap().as_deref(), Some("seven"));
        assert_eq!(row.get::<[u8; 2]>(2).unwrap(), [7, 7]);
        assert!(
            row.get::<String>(0).is_err() && row.get::<[u8; 3]>(2).is_err() && row.get::<u32>(3).is_err()
        );
        assert!(Row(values![-1_i64]).get::<u32>(0).is_err());
    }
}
