//! What surrounds every route: its figures, the limit of its body, and the headers that keep browsers safe.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::handler::Handler;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post, put};

use super::{Shop, answer};
use crate::http::{Direct, Routing};

/// The longest body of a route that reads it whole, bytes.
const MAX_BODY: usize = 16 * 1024;

/// Routes that tell the agent of each request under their template.
pub struct Routes {
    shop: Arc<Shop>,
    router: Router<Arc<Shop>>,
    direct: HashMap<&'static str, Direct>,
}

impl Routes {
    /// None yet, of `shop`.
    pub fn new(shop: Arc<Shop>) -> Self {
        Self { shop, router: Router::new(), direct: HashMap::new() }
    }

    /// One that reads no body.
    pub fn get<T: 'static>(mut self, template: &'static str, handler: impl Handler<T, Arc<Shop>>) -> Self {
        let handler = Measured { handler, template };
        if !template.contains('{') {
            let (handler, shop) = (handler.clone(), self.shop.clone());
            let direct = move |request| handler.clone().call(request, shop.clone());
            self.direct.insert(template, Box::new(direct));
        }
        self.with(template, get(handler))
    }

    /// One that reads a short body whole.
    pub fn post<T: 'static>(self, template: &'static str, handler: impl Handler<T, Arc<Shop>>) -> Self {
        let methods = post(Measured { handler, template }).layer(DefaultBodyLimit::max(MAX_BODY));
        self.with(template, methods)
    }

    /// One that reads a short body whole.
    pub fn put<T: 'static>(self, template: &'static str, handler: impl Handler<T, Arc<Shop>>) -> Self {
        let methods = put(Measured { handler, template }).layer(DefaultBodyLimit::max(MAX_BODY));
        self.with(template, methods)
    }

    /// One that reads its body as a stream, with a limit of its own.
    pub fn stream<T: 'static>(self, template: &'static str, handler: impl Handler<T, Arc<Shop>>) -> Self {
        let methods = post(Measured { handler, template }).layer(DefaultBodyLimit::disable());
        self.with(template, methods)
    }

    /// All of them; everything else is refused.
    pub fn all(self) -> Routing {
        let router = self
            .router
            .fallback(answer::no_such_route)
            .method_not_allowed_fallback(answer::no_such_method)
            .with_state(self.shop);
        Routing::new(router, self.direct)
    }

    fn with(mut self, template: &'static str, methods: MethodRouter<Arc<Shop>>) -> Self {
        self.router = self.router.route(template, methods);
        self
    }
}

/// A handler that is watched. Not a layer around the route, which would take two boxes more for every request.
#[derive(Clone)]
struct Measured<H> {
    handler: H,
    template: &'static str,
}

impl<T: 'static, H: Handler<T, Arc<Shop>>> Handler<T, Arc<Shop>> for Measured<H> {
    type Future = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn call(self, request: Request, shop: Arc<Shop>) -> Self::Future {
        let in_flight = shop.agent.request(self.template);
        Box::pin(in_flight.around(self.handler.call(request, shop)))
    }
}

/// A table: to copy it takes less than to find five fields their places in the one of every answer.
static SAFE: LazyLock<HeaderMap> = LazyLock::new(|| {
    // With room for as many of a route's own.
    let mut fields = HeaderMap::with_capacity(2 * SAFE_FIELDS.len());
    fields.extend(SAFE_FIELDS);
    fields
});

const SAFE_FIELDS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Adds the headers that keep browsers from guessing, framing, leaking and storing answers.
pub fn secure(response: &mut Response) {
    let own = std::mem::replace(response.headers_mut(), SAFE.clone());
    response.headers_mut().extend(own);
}
