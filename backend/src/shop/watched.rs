//! What surrounds every route: its figures, the limit of its body, and the headers that keep browsers safe.

use std::pin::Pin;
use std::sync::Arc;

use agent::Agent;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::handler::Handler;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post, put};

use super::{Shop, answer};

/// The longest body of a route that reads it whole, bytes.
const MAX_BODY: usize = 16 * 1024;

/// Routes that tell the agent of each request under their template.
pub struct Routes {
    agent: Agent,
    router: Router<Arc<Shop>>,
}

impl Routes {
    /// None yet.
    pub fn new(agent: &Agent) -> Self {
        Self { agent: agent.clone(), router: Router::new() }
    }

    /// One that reads no body.
    pub fn get<T: 'static>(self, template: &'static str, handler: impl Handler<T, Arc<Shop>>) -> Self {
        let methods = get(self.measured(template, handler));
        self.with(template, methods)
    }

    /// One that reads a short body whole.
    pub fn post<T: 'static>(self, template: &'static str, handler: impl Handler<T, Arc<Shop>>) -> Self {
        let methods = post(self.measured(template, handler)).layer(DefaultBodyLimit::max(MAX_BODY));
        self.with(template, methods)
    }

    /// One that reads a short body whole.
    pub fn put<T: 'static>(self, template: &'static str, handler: impl Handler<T, Arc<Shop>>) -> Self {
        let methods = put(self.measured(template, handler)).layer(DefaultBodyLimit::max(MAX_BODY));
        self.with(template, methods)
    }

    /// One that reads its body as a stream, with a limit of its own.
    pub fn stream<T: 'static>(self, template: &'static str, handler: impl Handler<T, Arc<Shop>>) -> Self {
        let methods = post(self.measured(template, handler)).layer(DefaultBodyLimit::disable());
        self.with(template, methods)
    }

    /// All of them, over `shop`; everything else is refused.
    pub fn over(self, shop: Arc<Shop>) -> Router {
        self.router
            .fallback(answer::no_such_route)
            .method_not_allowed_fallback(answer::no_such_method)
            .with_state(shop)
    }

    fn with(mut self, template: &'static str, methods: MethodRouter<Arc<Shop>>) -> Self {
        self.router = self.router.route(template, methods);
        self
    }

    fn measured<H>(&self, template: &'static str, handler: H) -> Measured<H> {
        Measured { handler, agent: self.agent.clone(), template }
    }
}

/// A handler that is watched. Not a layer around the route, which would take two boxes more for every request.
#[derive(Clone)]
struct Measured<H> {
    handler: H,
    agent: Agent,
    template: &'static str,
}

impl<T: 'static, H: Handler<T, Arc<Shop>>> Handler<T, Arc<Shop>> for Measured<H> {
    type Future = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn call(self, request: Request, shop: Arc<Shop>) -> Self::Future {
        let in_flight = self.agent.request(self.template);
        Box::pin(in_flight.around(self.handler.call(request, shop)))
    }
}

const SAFE: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Adds the headers that keep browsers from guessing, framing, leaking and storing answers.
pub fn secure(response: &mut Response) {
    response.headers_mut().extend(SAFE);
}
