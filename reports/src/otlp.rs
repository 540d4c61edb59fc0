//! Figures as OTLP, the OpenTelemetry protocol: metrics in its JSON encoding, as its HTTP transport takes them.
//!
//! Owns the form only; sending is the caller's business.

use serde_json::{Value, json};

use crate::metrics::Figures;

/// Path of metrics below a collector's address.
pub const PATH: &str = "/v1/metrics";

/// The request's body: every figure as a gauge, at this instant.
#[must_use]
pub fn metrics(figures: &Figures, unix_ms: u64) -> Vec<u8> {
    // Protobuf's JSON writes 64-bit integers as text, since JavaScript cannot hold them.
    let time = format!("{unix_ms}000000");
    let metrics: Vec<Value> = figures
        .families
        .iter()
        .filter(|f| !f.points.is_empty())
        .map(|f| {
            let points: Vec<Value> = f
                .points
                .iter()
                .map(|(labels, value)| {
                    json!({ "attributes": attributes(labels), "timeUnixNano": time, "asDouble": value })
                })
                .collect();
            let unit = if f.name.ends_with("_seconds") { "s" } else { "1" };
            json!({ "name": f.name, "description": f.help, "unit": unit, "gauge": { "dataPoints": points } })
        })
        .collect();
    let resource = [("service.name".to_owned(), "dyno".to_owned())];
    let scope = json!({ "name": "dyno", "version": env!("CARGO_PKG_VERSION") });
    let body = json!({ "resourceMetrics": [{
        "resource": { "attributes": attributes(&resource) },
        "scopeMetrics": [{ "scope": scope, "metrics": metrics }],
    }] });
    body.to_string().into_bytes()
}

fn attributes(labels: &[(String, String)]) -> Vec<Value> {
    labels.iter().map(|(k, v)| json!({ "key": k, "value": { "stringValue": v } })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::metrics::of_summary;

    #[test]
    fn every_value_is_there_with_its_labels_and_its_time() {
        let figures = of_summary(&fixture::flash_sale().summary());
        let body: Value = serde_json::from_slice(&metrics(&figures, 1_795_416_301_000)).unwrap();
        let scope = &body["resourceMetrics"][0]["scopeMetrics"][0];
        let sent: usize = scope["metrics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["gauge"]["dataPoints"].as_array().unwrap().len())
            .sum();
        assert_eq!(sent, figures.families.iter().map(|f| f.points.len()).sum::<usize>());
        let steps = scope["metrics"].as_array().unwrap().iter().find(|m| m["name"] == "dyno_steps").unwrap();
        insta::assert_json_snapshot!(steps["gauge"]["dataPoints"][0]);
    }
}
