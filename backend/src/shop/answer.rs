//! Answers: JSON when it went well, `{"error": ...}` with a 4xx or 5xx when not, and the extractors that
//! turn every kind of bad input into the latter.

use std::fmt::{self, Display};
use std::marker::PhantomData;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use timeline::text::clean;

use crate::say::say;
use crate::store::StoreError;

/// Longest text of an error that may repeat what the client sent, in characters.
const MAX_ERROR: usize = 300;

/// Why a request is not done.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    error: String,
}

/// What every route returns.
pub type Answer<T> = Result<Json<T>, Refusal>;

impl Refusal {
    /// Refuses with `status`, saying why. Control characters in it are taken out, long texts cut.
    pub fn new(status: StatusCode, error: impl Display) -> Self {
        Self { status, error: clean(&error.to_string(), MAX_ERROR) }
    }

    /// 400.
    pub fn bad(error: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// 404.
    pub fn not_found(error: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// 409.
    pub fn conflict(error: impl Display) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }

    /// 401.
    pub fn unauthorized(error: impl Display) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error)
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: &self.error })).into_response()
    }
}

impl From<StoreError> for Refusal {
    /// What the database said goes to the log, not to the client.
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, e),
            StoreError::Deadlock(_) | StoreError::Failed(_) => {
                say(format_args!("shop: {e}"));
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the database failed")
            }
        }
    }
}

/// For every path that is not a route.
pub async fn no_such_route() -> Refusal {
    Refusal::not_found("there is no such route")
}

/// For every method that a route has not.
pub async fn no_such_method() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this route has no such method")
}

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        match Json::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(e @ JsonRejection::MissingJsonContentType(_)) => Err(Refusal::new(e.status(), e.body_text())),
            // axum says 422 for JSON of the wrong shape; to a client both are a bad request.
            Err(e @ (JsonRejection::JsonDataError(_) | JsonRejection::JsonSyntaxError(_))) => {
                Err(Refusal::bad(e.body_text()))
            }
            Err(e) => Err(Refusal::new(e.status(), e.body_text())),
        }
    }
}

/// What is read from a JSON object and from nothing else. What serde derives takes a list of its fields' values for it,
/// too, whatever those are called.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Parameters of the path.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let found: Result<_, PathRejection> = axum::extract::Path::from_request_parts(parts, state).await;
        found.map(|p| Self(p.0)).map_err(|e| Refusal::new(e.status(), e.body_text()))
    }
}

/// Parameters of the query.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let found: Result<_, QueryRejection> = axum::extract::Query::from_request_parts(parts, state).await;
        found.map(|q| Self(q.0)).map_err(|e| Refusal::new(e.status(), e.body_text()))
    }
}
