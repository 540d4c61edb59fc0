//! Which keys stand in which table of a scenario.
//!
//! The one list that the reader, its error messages and the test of `schema.json` share.

/// A table of the scenario format.
#[derive(Debug)]
pub(crate) struct Shape {
    /// As messages name it: `[[phase]]`.
    pub(crate) name: &'static str,
    /// Its definition in `schema.json`; empty for the whole file.
    pub(crate) def: &'static str,
    /// The keys it takes, in the order in which they are best written.
    pub(crate) keys: &'static [&'static str],
    /// Whether other keys are taken too (names that the user makes up).
    pub(crate) open: bool,
}

macro_rules! shapes {
    ($($ident:ident = $name:literal, $def:literal, $open:literal, [$($key:literal),*];)*) => {
        $(pub(crate) const $ident: &Shape = &Shape { name: $name, def: $def, keys: &[$($key),*], open: $open };)*
        /// All of them.
        #[cfg(test)]
        pub(crate) const ALL: &[&Shape] = &[$($ident),*];
    };
}

shapes! {
    FILE = "a scenario", "", false,
        ["about", "teaches", "seed", "timeout", "grace", "target", "data", "phase", "session", "fault", "gate"];
    TARGET = "[target]", "target", false, ["url", "attach", "env"];
    FEEDER = "[data.NAME]", "feeder", false, ["file", "rows", "order"];
    PHASE = "[[phase]]", "phase", false, ["name", "for", "sessions", "arrivals", "requests", "warmup"];
    RAMP = "a ramp", "ramp", false, ["from", "to"];
    SESSION = "[[session]]", "session", false, ["name", "weight", "steps"];
    REQUEST = "a request step", "request", false,
        ["name", "get", "post", "put", "patch", "delete", "head", "headers", "json", "form", "body", "type", "check", "save", "if"];
    CONNECT = "a `connect` step", "connect", false, ["name", "connect", "subprotocol", "headers"];
    SEND = "a `send` step", "send", false, ["name", "send", "await"];
    AWAIT = "`await`", "await", false, ["json", "equals", "within"];
    LISTEN = "a `listen` step", "listen", false, ["listen"];
    THINK = "a `think` step", "think", false, ["think"];
    REPEAT = "a `repeat` step", "repeat", false, ["repeat", "every", "steps"];
    CLOSE = "a `close` step", "close", false, ["name", "close"];
    CHECK = "`check`", "check", false, ["status", "time", "body", "json"];
    FAULT = "[[fault]]", "fault", true, ["name", "at", "for"];
    GATE = "[[gate]]", "gate", false, ["that", "abort_after"];
}

/// The keys of which a step has exactly one: what it does, and the table it is then read as.
pub(crate) const VERBS: &[(&str, &Shape)] = &[
    ("get", REQUEST),
    ("post", REQUEST),
    ("put", REQUEST),
    ("patch", REQUEST),
    ("delete", REQUEST),
    ("head", REQUEST),
    ("connect", CONNECT),
    ("send", SEND),
    ("listen", LISTEN),
    ("think", THINK),
    ("repeat", REPEAT),
    ("close", CLOSE),
];
