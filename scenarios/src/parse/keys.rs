//! Which keys stand in which table of a scenario.
//!
//! The one list that the reader, its error messages and the test of `schema.json` share.

/// A table of the scenario format.
#[derive(Debug)]
pub(crate) struct Shape {
    /// As messages name it: `[[phase]]`.
    pub(crate) name: &'static str,
    /// Its definition in `schema.json`; empty for the whole file.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the test of `schema.json` reads it"))]
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
        ["include", "about", "teaches", "needs", "seed", "timeout", "grace", "vars", "load", "target", "data", "phase", "session", "fault", "action", "gate"];
    INCLUDED = "an included file", "included", false, ["include", "vars", "target", "data", "session", "gate"];
    LOAD = "[load]", "load", false, ["timer"];
    TARGET = "[target]", "target", false,
        ["url", "attach", "env", "tls", "http", "compression", "redirects", "cookies", "sources", "auth", "cache", "metric"];
    METRIC = "[[target.metric]]", "metric", false, ["name", "labels", "lane", "member", "subject", "unit"];
    TLS = "`tls`", "tls", false, ["ca", "cert", "key", "insecure", "server-name", "versions"];
    FEEDER = "[data.NAME]", "feeder", false, ["file", "format", "rows", "order"];
    PHASE = "[[phase]]", "phase", false,
        ["name", "for", "sessions", "arrivals", "requests", "warmup", "random", "iterations", "shared-iterations", "max-sessions", "lifetime", "churn", "ramp-down", "cache"];
    CACHE = "`cache`", "cache", false, ["protection", "mode", "ttl", "jitter", "negative", "beta", "lock"];
    RAMP = "a ramp", "ramp", false, ["from", "to", "random"];
    STEPS = "a load in steps", "levels", false, ["steps", "each", "random"];
    SPIKE = "a spike", "spike", false, ["base", "spike", "at", "for", "random"];
    POISSON = "arrivals at random", "poisson", false, ["poisson"];
    SESSION = "[[session]]", "session", false, ["name", "weight", "auth", "steps", "journey"];
    REQUEST = "a request step", "request", false,
        ["name", "get", "post", "put", "patch", "delete", "head", "headers", "json", "form", "body", "template", "template-file", "multipart", "file", "generated", "type", "chunked", "auth", "check", "save", "if", "expect-continue", "redirects"];
    PART = "a part of a form", "part", false, ["text", "file", "generated", "type", "name"];
    GENERATED = "`generated`", "generated", false, ["size", "kind"];
    AUTH = "`auth`", "auth", false, ["basic", "bearer", "jwt"];
    BASIC = "`basic`", "basic", false, ["user", "pass"];
    JWT = "`jwt`", "jwt", false, ["secret", "key-file", "algorithm", "claims", "expires", "header"];
    CONNECT = "a `connect` step", "connect", false,
        ["name", "connect", "auth", "subprotocol", "headers", "max-message", "max-frame", "deflate", "push-age", "ping-every", "echo", "if"];
    DEFLATE = "`deflate`", "deflate", false,
        ["server-no-context-takeover", "client-no-context-takeover", "server-max-window-bits", "client-max-window-bits"];
    EVENTS = "an `events` step", "events", false,
        ["name", "events", "auth", "headers", "push-age", "max-event", "reconnect", "if"];
    SEND = "a `send` step", "send", false, ["name", "send", "await", "check", "save", "if"];
    SEND_BINARY = "a `send-binary` step", "send-binary", false, ["name", "send-binary", "await", "check", "save", "if"];
    AWAIT_ALONE = "an `await` step", "await-step", false, ["name", "await", "check", "save", "if"];
    AWAIT = "`await`", "await", false, ["event", "json", "equals", "contains", "regex", "binary", "closed", "within"];
    LISTEN = "a `listen` step", "listen", false, ["listen", "if"];
    IGNORE = "an `ignore` step", "ignore", false, ["ignore", "if"];
    THINK = "a `think` step", "think", false, ["think", "if"];
    REPEAT = "a `repeat` step", "repeat", false, ["repeat", "at-most", "every", "steps", "if"];
    GROUP = "a group of steps", "group", false, ["group", "if", "steps", "else"];
    CHOOSE = "a `choose` step", "choose", false, ["choose", "if"];
    CHOICE = "an entry of `choose`", "choice", false, ["weight", "steps"];
    PARALLEL = "a `parallel` step", "parallel", false, ["parallel", "connections", "if"];
    CLOSE = "a `close` step", "close", false, ["name", "close", "if"];
    CHECK = "`check`", "check", false, ["status", "time", "size", "body", "header", "json"];
    MESSAGE_CHECK = "`check` of a message", "message-check", false, ["time", "size", "body", "json"];
    FAULT = "[[fault]]", "fault", true, ["name", "at", "for"];
    ACTION = "[[action]]", "action", false, ["do", "at"];
    GATE = "[[gate]]", "gate", false, ["that", "abort_after"];
}

/// A file of metrics alone, and the `[target]` in it. `schema.json` is of scenarios, and does not know them.
pub(crate) const MAPPINGS: &Shape =
    &Shape { name: "a file of metrics", def: "", keys: &["target"], open: false };
pub(crate) const MAPPED: &Shape =
    &Shape { name: "[target] of a file of metrics", def: "", keys: &["metric"], open: false };

/// The keys of which a step has exactly one: what it does, and the table it is then read as.
pub(crate) const VERBS: &[(&str, &Shape)] = &[
    ("get", REQUEST),
    ("post", REQUEST),
    ("put", REQUEST),
    ("patch", REQUEST),
    ("delete", REQUEST),
    ("head", REQUEST),
    ("connect", CONNECT),
    ("events", EVENTS),
    ("send", SEND),
    ("send-binary", SEND_BINARY),
    ("await", AWAIT_ALONE),
    ("listen", LISTEN),
    ("ignore", IGNORE),
    ("think", THINK),
    ("repeat", REPEAT),
    ("choose", CHOOSE),
    ("steps", GROUP),
    ("parallel", PARALLEL),
    ("close", CLOSE),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn keys_of(table: &Value) -> Vec<&str> {
        let mut keys: Vec<_> = table["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn schema_and_reader_know_the_same_keys() {
        let schema: Value = serde_json::from_str(crate::SCHEMA).unwrap();
        let defs = schema["$defs"].as_object().unwrap();
        for shape in ALL {
            let table = if shape.def.is_empty() { &schema } else { &defs[shape.def] };
            let mut keys = shape.keys.to_vec();
            keys.sort_unstable();
            assert_eq!(keys_of(table), keys, "{}", shape.name);
            assert_eq!(table["additionalProperties"] == Value::Bool(false), !shape.open, "{}", shape.name);
        }
        let tables = defs.iter().filter(|(_, def)| def.get("properties").is_some());
        for (name, _) in tables {
            assert!(
                ALL.iter().any(|shape| shape.def == name),
                "{name} is in the schema and not in the reader"
            );
        }
    }

    #[test]
    fn schema_names_the_lanes_and_units_of_a_metric() {
        let schema: Value = serde_json::from_str(crate::SCHEMA).unwrap();
        let metric = &schema["$defs"]["metric"]["properties"];
        let lanes: Vec<&str> = timeline::metric::FILLABLE.iter().map(|f| f.lane).collect();
        let units: Vec<&str> = timeline::metric::MetricUnit::NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(metric["lane"]["examples"], serde_json::json!(lanes));
        assert_eq!(metric["unit"]["anyOf"][0]["enum"], serde_json::json!(units));
    }

    #[test]
    fn schema_names_the_faults_of_this_build_and_nothing_undefined() {
        let schema: Value = serde_json::from_str(crate::SCHEMA).unwrap();
        let names: Vec<_> = timeline::fault::FaultKind::ALL.iter().map(|f| f.name()).collect();
        let fault = &schema["$defs"]["fault"]["properties"]["name"];
        assert_eq!(fault["anyOf"][0]["enum"], serde_json::json!(names));
        for (i, _) in crate::SCHEMA.match_indices("#/$defs/") {
            let name = crate::SCHEMA[i + 8..].split('"').next().unwrap();
            assert!(schema["$defs"].get(name).is_some(), "{name}");
        }
    }
}
