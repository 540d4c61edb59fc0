//! What surrounds every route: its figures, and the headers that keep browsers safe.

use agent::Agent;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::MethodRouter;

/// The route, telling the agent of each request under its template.
pub fn measured<S: Clone + Send + Sync + 'static>(
    agent: &Agent,
    template: &'static str,
    methods: MethodRouter<S>,
) -> MethodRouter<S> {
    let agent = agent.clone();
    methods.layer(from_fn(move |request: Request, next: Next| {
        let in_flight = agent.request(template);
        in_flight.around(next.run(request))
    }))
}

const SAFE: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Adds the headers that keep browsers from guessing, framing, leaking and storing answers.
pub async fn secured(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().extend(SAFE);
    response
}
