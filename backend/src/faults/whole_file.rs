//! Whole file, and its cure: how an import gets at the bytes of its file.
//!
//! The fault collects them all before it looks at the first; the cure hands the stream on as it is, so that memory
//! does not grow with the file (`shop::import` holds one chunk, one record and one batch of rows).

use axum::body::Body;
use axum::http::StatusCode;
use futures_util::StreamExt;
use timeline::fault::FaultKind;

use super::{Faults, Lever, whole};
use crate::shop::Refusal;

/// Looked at by every import.
pub const LEVER: Lever = Lever::switch_only(FaultKind::WholeFile);

/// Beyond so many bytes the memory taken is an effect that shows.
const FELT: usize = 1 << 20;

/// The body as an import reads it.
pub async fn opened(faults: &Faults, body: Body) -> Result<Body, Refusal> {
    match faults[FaultKind::WholeFile].order() {
        Some(order) => read_whole(faults, body, whole(&order, "megabytes") << 20).await.map(Body::from),
        None => Ok(body),
    }
}

/// The fault.
async fn read_whole(faults: &Faults, body: Body, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut chunks = body.into_data_stream();
    let mut file = Vec::new();
    while let Some(chunk) = chunks.next().await {
        file.extend(chunk.map_err(|_| Refusal::bad("the body broke off"))?);
        if file.len() > most {
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("more than {most} bytes")));
        }
        if file.len() >= FELT {
            faults[FaultKind::WholeFile].took_effect();
        }
    }
    Ok(file)
}
