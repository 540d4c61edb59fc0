//! What the fingerprint of a statement tells: the tables that it reads, and the column by which it finds rows.
//!
//! Owns a reading of the text, not a grammar of SQL: where it cannot tell, it says so. A fingerprint may have been cut.

use timeline::event::LABEL_MAX;

/// How a statement chooses its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// By comparing a column with a value: what an index serves. The table is empty where the text does not tell.
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// Not at all, or by what a plain index does not serve (a pattern, an expression): it has to read everything.
    None,
    /// The fingerprint was cut before it came to that.
    Unknown,
}

/// Comparisons that an index serves.
const SERVED: [&str; 7] = ["=", "<", ">", "<=", ">=", "IN", "BETWEEN"];
/// Functions that make one value out of many.
const SUMS: [&str; 5] = ["COUNT", "SUM", "AVG", "MIN", "MAX"];
/// Words behind which a table is named.
const BEFORE_TABLE: [&str; 4] = ["FROM", "JOIN", "UPDATE", "INTO"];
/// Words that may follow a table's name and are no second name for it.
const NO_ALIAS: [&str; 16] = [
    "WHERE",
    "JOIN",
    "ON",
    "ORDER",
    "GROUP",
    "LIMIT",
    "SET",
    "LEFT",
    "INNER",
    "RIGHT",
    "CROSS",
    "USING",
    "VALUES",
    "SELECT",
    "RETURNING",
    "UNION",
];

/// Names of the tables of which `text` speaks, each with its second name where it has one, in their order.
fn named<'a>(tokens: &[&'a str]) -> Vec<(usize, &'a str, &'a str)> {
    let mut tables = Vec::new();
    for (i, pair) in tokens.windows(2).enumerate() {
        if !is_any(pair[0], &BEFORE_TABLE) || !is_name(pair[1]) || is_any(pair[1], &NO_ALIAS) {
            continue;
        }
        let mut rest = tokens[i + 2..].iter().filter(|t| !t.eq_ignore_ascii_case("AS"));
        let alias = rest.next().filter(|t| is_name(t) && !is_any(t, &NO_ALIAS));
        tables.push((i, pair[1], alias.copied().unwrap_or(pair[1])));
    }
    tables
}

/// Tables of which the statement speaks.
pub fn tables(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut tables: Vec<String> = named(&tokens).into_iter().map(|t| t.1.to_owned()).collect();
    tables.dedup();
    tables
}

/// Is it `table`, which a server names without schema and quotes?
pub fn is_table(said: &str, table: &str) -> bool {
    let name = said.rsplit('.').next().unwrap_or(said);
    match name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
        Some(quoted) => quoted == table,
        None => name.eq_ignore_ascii_case(table),
    }
}

/// How the statement chooses its rows.
pub fn filter(text: &str) -> Filter {
    let tokens = tokens(text);
    let tables = named(&tokens);
    let Some(at) = tokens.iter().position(|t| t.eq_ignore_ascii_case("WHERE")) else {
        let complete = tokens.iter().any(|t| is_any(t, &["GROUP", "ORDER", "LIMIT"]));
        let cut = text.chars().count() >= LABEL_MAX;
        return if complete || !cut { Filter::None } else { Filter::Unknown };
    };
    let conditions = tokens[at..].windows(3).take_while(|w| !is_any(w[1], &["GROUP", "ORDER", "LIMIT"]));
    let served = conditions
        .filter(|w| is_any(w[0], &["WHERE", "AND"]) && is_name(w[1]) && is_any(w[2], &SERVED))
        .map(|w| w[1])
        .next();
    match served {
        Some(column) => of_table(column, &tables, at),
        None if text.chars().count() >= LABEL_MAX && tokens.len() <= at + 3 => Filter::Unknown,
        None => Filter::None,
    }
}

/// Does it make few rows out of many that it wants? A fingerprint that was cut may hide that behind its cut.
pub fn sums_up(text: &str) -> bool {
    let tokens = tokens(text);
    let is_sum = |t: &str| is_any(t, &SUMS) || t.to_ascii_lowercase().ends_with("_agg");
    tokens.iter().any(|t| is_any(t, &["GROUP", "DISTINCT"]))
        || tokens.windows(2).any(|w| is_sum(w[0]) && w[1] == "(")
}

/// The table of a column: the one that it names itself, or the last one before the condition.
fn of_table(column: &str, tables: &[(usize, &str, &str)], at: usize) -> Filter {
    let before = || tables.iter().rev().find(|t| t.0 < at);
    let (table, column) = match column.rsplit_once('.') {
        Some((alias, column)) => (tables.iter().find(|t| t.2 == alias || t.1 == alias), column),
        None => (before(), column),
    };
    Filter::Column { table: table.map_or(String::new(), |t| t.1.to_owned()), column: column.to_owned() }
}

fn is_any(token: &str, words: &[&str]) -> bool {
    words.iter().any(|w| token.eq_ignore_ascii_case(w))
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '"')
}

/// Names (with their dots), comparisons, and everything else character by character.
fn tokens(text: &str) -> Vec<&str> {
    let sort = |c: char| match c {
        _ if c.is_alphanumeric() || matches!(c, '_' | '.' | '"') => 1,
        '<' | '>' | '=' | '!' => 2,
        _ => 0,
    };
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match sort(first) {
            0 => first.len_utf8(),
            kind => rest.find(|c| sort(c) != kind).unwrap_or(rest.len()),
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(table: &str, column: &str) -> Filter {
        Filter::Column { table: table.to_owned(), column: column.to_owned() }
    }

    #[test]
    fn what_wants_more_rows_than_it_gives_says_so() {
        for text in [
            "SELECT count(*), CAST(avg(stars) AS DOUBLE) FROM review WHERE product = ?",
            "SELECT json_agg (line) FROM line WHERE purchase = ?",
            "SELECT shop, min(cents) FROM price WHERE shop = ? GROUP BY shop",
            "select distinct name from seller where town = ?",
        ] {
            assert!(sums_up(text), "{text}");
        }
        assert!(!sums_up("SELECT id, count, sum FROM purchase WHERE customer = ? ORDER BY id LIMIT ?"));
    }

    #[test]
    fn the_column_behind_where_is_found_with_its_table() {
        for (text, expected) in [
            ("SELECT cents FROM price WHERE product = ?", column("price", "product")),
            (
                "SELECT id, p.cents FROM (SELECT * FROM purchase WHERE customer = ? ORDER BY id DESC LIMIT ?) AS p JOIN l ON l.p = p.id",
                column("purchase", "customer"),
            ),
            (
                "SELECT a FROM review JOIN product AS p ON review.product = p.id WHERE p.seller IN (?)",
                column("product", "seller"),
            ),
            (
                "UPDATE stock SET quantity = quantity - ? WHERE product = ? AND quantity >= ?",
                column("stock", "product"),
            ),
            ("DELETE FROM session WHERE since_ms < ?", column("session", "since_ms")),
            ("SELECT a FROM t WHERE lower(name) LIKE ? ORDER BY id LIMIT ?", Filter::None),
            ("SELECT a FROM t WHERE lower(name) LIKE ? AND shop = ?", column("t", "shop")),
            ("SELECT count(*) FROM customer", Filter::None),
            ("SELECT product, avg(stars) FROM review GROUP BY product", Filter::None),
        ] {
            assert_eq!(filter(text), expected, "{text}");
        }
        let cut = format!("SELECT {} FROM t", "column, ".repeat(30));
        assert_eq!(filter(&cut.chars().take(LABEL_MAX).collect::<String>()), Filter::Unknown);
    }

    #[test]
    fn tables_are_named_once_each() {
        let text = "SELECT product.id, name FROM product JOIN price ON price.product = product.id WHERE product.id > ?";
        assert_eq!(tables(text), ["product", "price"]);
        assert_eq!(
            tables("INSERT INTO cart (session) SELECT ?, id FROM product WHERE id = ?"),
            ["cart", "product"]
        );
    }

    #[test]
    fn a_table_is_known_by_its_own_name() {
        for said in ["price", "shop.price", "Price", "\"shop\".\"price\""] {
            assert!(is_table(said, "price"), "{said}");
        }
        for said in ["prices", "price.id", "\"Price\""] {
            assert!(!is_table(said, "price"), "{said}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "\\PC{0,120}") {
            let _ = (filter(&text), tables(&text));
        }
    }
}
