//! The WebSocket client codec (RFC 6455): bytes in, messages out; no socket, no clock.
//!
//! `decode` reads frames in any portions, `encode` writes them, `handshake` makes and checks the upgrade,
//! `deflate` is the one extension. Answering
//! pings and closing handshakes is `session`'s business.

pub mod decode;
pub mod deflate;
pub mod encode;
pub mod figures;
pub mod handshake;

pub(crate) mod age;

/// Longest message that is accepted where a scenario does not say, bytes.
pub const MESSAGE_MAX: usize = 1 << 20;
/// Longest payload of a control frame, bytes (RFC 6455, 5.5).
pub const CONTROL_MAX: usize = 125;

/// The opcodes of RFC 6455, 11.8.
pub mod opcode {
    /// A further fragment.
    pub const CONTINUATION: u8 = 0;
    /// Text.
    pub const TEXT: u8 = 1;
    /// Anything.
    pub const BINARY: u8 = 2;
    /// The last frame of one side.
    pub const CLOSE: u8 = 8;
    /// Wants a pong.
    pub const PING: u8 = 9;
    /// Answers a ping.
    pub const PONG: u8 = 10;
}
