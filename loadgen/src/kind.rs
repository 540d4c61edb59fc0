//! Kinds of errors that a step can end with, under names that never change.
//!
//! Owns the list, its order (counters are arrays over it) and how an I/O error is read. Who counts
//! them is `figures`' business, what they mean for a target a detector's.

use std::io;

use rustix::io::Errno;

/// Why a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ErrorKind {
    /// Nobody listens there.
    ConnectRefused,
    /// No connection within the step's time limit.
    ConnectTimeout,
    /// The connection was reset.
    Reset,
    /// The connection was closed before the answer was whole.
    ClosedEarly,
    /// The answer, or the awaited message, was not there in time.
    Timeout,
    /// The answer's head is not HTTP/1.1.
    BadHead,
    /// The answer's chunks are not as they should be.
    BadChunk,
    /// Head, body or message is larger than what is accepted.
    TooLarge,
    /// The status is none of those asked for.
    Status,
    /// A check on header, body or time failed.
    Check,
    /// The server did not agree to a WebSocket.
    WsHandshake,
    /// A frame breaks the WebSocket protocol.
    WsProtocol,
    /// A text message is not UTF-8.
    WsUtf8,
    /// The WebSocket is closed, or was never open.
    WsClosed,
    /// This process has no descriptors left.
    NoDescriptors,
    /// No local port is left for this target.
    NoPorts,
    /// The TLS handshake failed, a certificate was refused, or a record is broken.
    Tls,
    /// A redirect led elsewhere, nowhere, or to further ones without end.
    Redirect,
    /// The answer's content coding is broken or unknown.
    BadCoding,
    /// The server's answer does not begin an event stream.
    SseHandshake,
    /// The event stream has ended, or was never open.
    SseClosed,
    /// The server does not speak HTTP/2.
    NoH2,
    /// A frame breaks HTTP/2, or frames come that carry nothing, without end.
    H2Protocol,
    /// The server reset the stream.
    StreamReset,
    /// The server took leave before the answer was whole.
    GoAway,
    /// A body's template could not be rendered: an unset variable, or more than its share of work.
    Template,
    /// All sessions of this worker together keep more of answers and messages than it has room for.
    NoRoom,
    /// The system has no way to the target, or forbids it.
    Unreachable,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// All kinds; the index is `kind as usize`.
    pub const ALL: [Self; 29] = [
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::Reset,
        Self::ClosedEarly,
        Self::Timeout,
        Self::BadHead,
        Self::BadChunk,
        Self::TooLarge,
        Self::Status,
        Self::Check,
        Self::WsHandshake,
        Self::WsProtocol,
        Self::WsUtf8,
        Self::WsClosed,
        Self::NoDescriptors,
        Self::NoPorts,
        Self::Tls,
        Self::Redirect,
        Self::BadCoding,
        Self::SseHandshake,
        Self::SseClosed,
        Self::NoH2,
        Self::H2Protocol,
        Self::StreamReset,
        Self::GoAway,
        Self::Template,
        Self::NoRoom,
        Self::Unreachable,
        Self::Other,
    ];

    /// Its stable name, the subject of lane `client.errors`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect-refused",
            Self::ConnectTimeout => "connect-timeout",
            Self::Reset => "reset",
            Self::ClosedEarly => "closed-early",
            Self::Timeout => "timeout",
            Self::BadHead => "bad-head",
            Self::BadChunk => "bad-chunk",
            Self::TooLarge => "too-large",
            Self::Status => "status",
            Self::Check => "check",
            Self::WsHandshake => "ws-handshake",
            Self::WsProtocol => "ws-protocol",
            Self::WsUtf8 => "ws-utf8",
            Self::WsClosed => "ws-closed",
            Self::NoDescriptors => "no-descriptors",
            Self::NoPorts => "no-ports",
            Self::Tls => "tls",
            Self::Redirect => "redirect",
            Self::BadCoding => "bad-coding",
            Self::SseHandshake => "sse-handshake",
            Self::SseClosed => "sse-closed",
            Self::NoH2 => "no-h2",
            Self::H2Protocol => "h2-protocol",
            Self::StreamReset => "stream-reset",
            Self::GoAway => "goaway",
            Self::Template => "template",
            Self::NoRoom => "no-room",
            Self::Unreachable => "unreachable",
            Self::Other => "other",
        }
    }

    /// The kind of an error met while connecting.
    #[must_use]
    pub fn of_connect(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::CONNREFUSED) => Self::ConnectRefused,
            Some(Errno::TIMEDOUT) => Self::ConnectTimeout,
            // No route, an interface that is down, a router that says so, a rule of the machine's own firewall.
            Some(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::PERM | Errno::ACCESS) => {
                Self::Unreachable
            }
            _ => Self::of_io(error),
        }
    }

    /// The kind of an error met while reading or writing.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED) => Self::Reset,
            Some(Errno::CONNREFUSED) => Self::ConnectRefused,
            Some(Errno::MFILE | Errno::NFILE) => Self::NoDescriptors,
            Some(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) => Self::NoPorts,
            Some(Errno::TIMEDOUT) => Self::Timeout,
            _ => Self::Other,
        }
    }

    /// Did the step fail before anything could reach the target? Such a step has no service time.
    #[must_use]
    pub const fn before_contact(self) -> bool {
        matches!(
            self,
            Self::ConnectRefused
                | Self::ConnectTimeout
                | Self::NoDescriptors
                | Self::NoPorts
                | Self::Unreachable
                | Self::Template
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_kind_is_its_place_in_the_list() {
        for (i, kind) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, i);
        }
    }

    #[test]
    fn the_page_of_the_language_explains_each() {
        let page = include_str!("../../scenarios/LANGUAGE.md");
        for kind in ErrorKind::ALL {
            assert!(page.contains(&format!("`{}`", kind.name())), "{}", kind.name());
        }
    }

    #[test]
    fn io_errors_have_names() {
        let of = |e: Errno| ErrorKind::of_io(&io::Error::from(e)).name();
        assert_eq!(of(Errno::MFILE), "no-descriptors");
        assert_eq!(of(Errno::PIPE), "reset");
        assert_eq!(of(Errno::ADDRNOTAVAIL), "no-ports");
        assert_eq!(of(Errno::ACCESS), "other");
    }

    #[test]
    fn what_no_way_leads_to_was_not_in_contact() {
        let no_way = [Errno::NETUNREACH, Errno::HOSTUNREACH, Errno::NETDOWN, Errno::PERM, Errno::ACCESS];
        for errno in no_way {
            let kind = ErrorKind::of_connect(&io::Error::from(errno));
            assert_eq!((kind.name(), kind.before_contact()), ("unreachable", true), "{errno:?}");
        }
        assert_eq!(ErrorKind::of_connect(&io::Error::from(Errno::CONNREFUSED)).name(), "connect-refused");
        assert!(!ErrorKind::of_connect(&io::Error::from(Errno::CONNRESET)).before_contact());
    }
}
