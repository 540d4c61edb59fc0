//! What included files say is put before what the scenario says itself.
//!
//! Tables (`vars`, `data`, `target`) are merged key by key, the file that includes winning over what it includes; session kinds
//! and gates stand before its own. Load and faults are a scenario's own business.

use toml::de::{DeTable, DeValue};

use super::keys;
use super::reader::Reader;
use super::source::{Sources, check};
use crate::mistake::Wrong;

/// Tables that are merged key by key.
const MERGED: &[&str] = &["vars", "data", "target"];
/// Arrays of tables that stand before the scenario's own.
const JOINED: &[&str] = &["session", "gate"];

/// The table of all files together; none if one is not TOML (noted).
pub(super) fn merged<'s>(reader: &Reader<'_>, sources: &'s Sources) -> Option<DeTable<'s>> {
    let mut all = DeTable::new();
    for (span, wrong) in &sources.wrong {
        reader.wrong(span.clone(), wrong.clone());
    }
    let mut sound = true;
    for index in &sources.order {
        let base = sources.files[*index].padded();
        match DeTable::parse(base) {
            Ok(table) => {
                let table = table.into_inner();
                check(reader, &table);
                if *index != 0 {
                    // Notes what an included file cannot say.
                    reader.root(&table, 0..0, keys::INCLUDED);
                }
                put(reader, &mut all, table, *index == 0);
            }
            Err(e) => {
                let wrong = Wrong::new(format!("this is not TOML: {}", e.message()));
                reader.wrong(e.span().unwrap_or(0..0), wrong);
                sound = false;
            }
        }
    }
    sound.then_some(all)
}

/// Puts what one file says over what those before it say.
fn put<'s>(reader: &Reader<'_>, all: &mut DeTable<'s>, table: DeTable<'s>, main: bool) {
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        if !main && !keys::INCLUDED.keys.contains(&name) {
            continue;
        }
        let is_merged = MERGED.contains(&name);
        if !main && is_merged && !matches!(value.get_ref(), DeValue::Table(_)) {
            reader.not_a(&value, "a table");
            continue;
        }
        if !main && JOINED.contains(&name) && !matches!(value.get_ref(), DeValue::Array(_)) {
            reader.not_a(&value, &format!("tables, each headed [[{name}]]"));
            continue;
        }
        let joined = match (all.get_mut(name).map(|v| v.get_mut()), value.get_ref()) {
            (Some(DeValue::Table(_)), DeValue::Table(_)) => is_merged,
            (Some(DeValue::Array(_)), DeValue::Array(_)) => JOINED.contains(&name),
            _ => false,
        };
        if !joined {
            all.remove(name);
            all.insert(key, value);
            continue;
        }
        match (all.get_mut(name).map(|v| v.get_mut()), value.into_inner()) {
            (Some(DeValue::Table(old)), DeValue::Table(new)) => {
                for (key, value) in new {
                    old.remove(key.get_ref().as_ref());
                    old.insert(key, value);
                }
            }
            (Some(DeValue::Array(old)), DeValue::Array(new)) => {
                new.into_iter().for_each(|v| old.push(v));
            }
            _ => {}
        }
    }
}
