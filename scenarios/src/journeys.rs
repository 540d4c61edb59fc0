//! The coded journeys that scenarios may name: what they are called and which steps they have, without their code.
//!
//! The code is goose's, in the crate `journeys`, which the parser of scenarios need not pull in; a test there holds
//! this table and the code together.

/// A session kind whose steps are written in Rust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Journey {
    /// What `journey = "..."` says.
    pub name: &'static str,
    /// What its visitor does, one line.
    pub about: &'static str,
    /// Connections that one visitor holds at most.
    pub connections: u32,
    /// Pause between two transactions of a visit, shortest and longest, ms; none: it goes on at once.
    pub pause_ms: Option<(u64, u64)>,
    /// What it does, in the order in which the code registers it.
    pub transactions: &'static [Transaction],
}

/// One function of a journey: a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction {
    /// Its name inside the journey.
    pub name: &'static str,
    /// When it is done.
    pub when: When,
    /// How often in a visit, at least 1.
    pub weight: u32,
    /// What is timed inside it beside its whole.
    pub inside: Inside,
}

/// When a transaction is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once, at the visit's start.
    Start,
    /// In the visit.
    Visit,
    /// Once, at the visit's end, also where the load ends early.
    Stop,
}

/// What goose times inside a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// HTTP requests, to the head of their answer.
    FirstByte,
    /// Exchanges that the code timed itself.
    Exchange,
}

impl Inside {
    /// How the step that holds these times is told from the whole transaction.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::FirstByte => " (first byte)",
            Self::Exchange => " (exchange)",
        }
    }
}

const fn http(name: &'static str, when: When, weight: u32) -> Transaction {
    Transaction { name, when, weight, inside: Inside::FirstByte }
}

const fn message(name: &'static str, when: When, weight: u32) -> Transaction {
    Transaction { name, when, weight, inside: Inside::Exchange }
}

/// All of them.
pub const ALL: &[Journey] = &[
    Journey {
        name: "shop-browse",
        about: "leafs through the list and looks at products, the popular ones more often",
        connections: 1,
        pause_ms: Some((500, 1_500)),
        transactions: &[http("list", When::Visit, 1), http("product", When::Visit, 3)],
    },
    Journey {
        name: "shop-checkout",
        about: "logs in, puts a product into the cart, buys it and looks at the orders",
        connections: 1,
        pause_ms: Some((200, 800)),
        transactions: &[
            http("log in", When::Start, 1),
            http("product", When::Visit, 1),
            http("cart", When::Visit, 1),
            http("check out", When::Visit, 1),
            http("orders", When::Stop, 1),
        ],
    },
    Journey {
        name: "shop-live",
        about: "opens the live feed and says something a few times",
        connections: 1,
        pause_ms: Some((200, 800)),
        transactions: &[
            message("open feed", When::Start, 1),
            message("say", When::Visit, 4),
            message("leave feed", When::Stop, 1),
        ],
    },
];

/// The journey of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Journey> {
    ALL.iter().find(|j| j.name == name)
}

impl Journey {
    /// The step names of a transaction: its whole, and what is timed inside it.
    #[must_use]
    pub fn steps_of(&self, transaction: &Transaction) -> (String, String) {
        let whole = format!("{} {}", self.name, transaction.name);
        let inside = format!("{whole}{}", transaction.inside.suffix());
        (whole, inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_a_visit_is_never_empty() {
        for (i, journey) in ALL.iter().enumerate() {
            assert!(ALL[..i].iter().all(|j| j.name != journey.name));
            assert!(journey.transactions.iter().any(|t| t.when == When::Visit && t.weight > 0));
            for (i, t) in journey.transactions.iter().enumerate() {
                assert!(journey.transactions[..i].iter().all(|u| u.name != t.name));
            }
        }
    }
}
