//! `GET /products/{id}/picture`: a small picture of the product, drawn large and scaled down.
//!
//! Owns the drawing and the form of the file (BMP, 64 by 64). Where the canvases come from is the choice between the fault
//! `churn` and its cure.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Shop;
use super::answer::{Path, Refusal};
use crate::store::PRODUCTS;

/// Width and height of a canvas, pixels.
const LARGE: usize = 256;
/// Width and height of a picture, pixels.
const SMALL: usize = 64;
/// Bytes of a canvas: 32 bits a pixel.
pub const CANVAS_BYTES: usize = LARGE * LARGE * 4;
/// Bytes of a picture's pixels, and of the two headers before them.
const PIXELS: usize = SMALL * SMALL * 4;
const HEADERS: usize = 14 + 40;

pub async fn picture(State(shop): State<Arc<Shop>>, Path(id): Path<u32>) -> Result<Response, Refusal> {
    if !(1..=PRODUCTS).contains(&id) {
        return Err(Refusal::not_found("there is no such product"));
    }
    let picture = shop.canvases.draw(id);
    Ok(([(header::CONTENT_TYPE, "image/bmp")], picture).into_response())
}

/// Paints layer `layer` of product `id` over what is on the canvas: rings around a place of its own.
pub fn paint(canvas: &mut [u8], id: u32, layer: u32) {
    let seed = id.wrapping_mul(2_654_435_761).rotate_left(layer);
    let (x0, y0) = ((seed % 256) as i32, (seed >> 8 & 0xFF) as i32);
    let colour = (seed >> 16) as u8 | 0x40;
    for (y, row) in canvas.chunks_exact_mut(LARGE * 4).enumerate() {
        let dy = y as i32 - y0;
        for (x, pixel) in row.chunks_exact_mut(4).enumerate() {
            let dx = x as i32 - x0;
            let ring = (dx * dx + dy * dy) >> 9;
            if ring & 1 == 0 {
                pixel.copy_from_slice(&[colour, colour.wrapping_add(ring as u8), colour.rotate_left(3), 255]);
            }
        }
    }
}

/// Lays `over` on `under`, half and half.
pub fn blend(under: &mut [u8], over: &[u8]) {
    for (a, b) in under.iter_mut().zip(over) {
        *a = u8::midpoint(*a, *b);
    }
}

/// The canvas, scaled down, as a file.
pub fn small(canvas: &[u8]) -> Vec<u8> {
    const STEP: usize = LARGE / SMALL;
    let mut file = Vec::with_capacity(HEADERS + PIXELS);
    file.extend(b"BM");
    for word in [(HEADERS + PIXELS) as u32, 0, HEADERS as u32, 40, SMALL as u32, SMALL as u32, 1 | 32 << 16] {
        file.extend(word.to_le_bytes());
    }
    // No compression; the size of the pixels; no resolution, no palette.
    for word in [0, PIXELS as u32, 0, 0, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for y in (0..SMALL).rev() {
        for x in 0..SMALL {
            for part in 0..4 {
                let sum: usize = (0..STEP * STEP)
                    .map(|n| ((y * STEP + n / STEP) * LARGE + x * STEP + n % STEP) * 4 + part)
                    .map(|at| usize::from(canvas[at]))
                    .sum();
                file.push((sum / (STEP * STEP)) as u8);
            }
        }
    }
    file
}
