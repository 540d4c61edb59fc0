//! The run as it goes on, for monitoring: a page to scrape, and OTLP to a collector.
//!
//! Both read published snapshots on threads of their own, so nothing that scrapes or collects can slow the run.

mod page;
mod push;

use std::net::{SocketAddr, TcpListener};

use timeline::recorder::Handle;

use crate::outcome::UserError;
/// Where the page is: `9464`, `:9464`, `0.0.0.0:9464`; loopback unless an address is named.
pub use crate::serve::address;

/// What leaves the run while it goes on; both end when this is dropped.
pub struct Exports {
    _page: Option<page::Page>,
    _push: Option<push::Push>,
}

impl Exports {
    /// Starts what was asked for, and says where it is.
    pub fn start(listener: Option<TcpListener>, otlp: Option<&str>, handle: &Handle) -> anyhow::Result<Self> {
        let page = listener.map(|listener| page::Page::start(listener, handle.published())).transpose()?;
        if let Some(page) = &page {
            handle.log(&format!("metrics are at http://{}/metrics", page.address));
        }
        let push = otlp.map(|url| push::Push::start(url, handle.clone())).transpose()?;
        Ok(Self { _page: page, _push: push })
    }
}

/// Listens where the page will be, so that a port that is taken is met before anything starts.
pub fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .map_err(|e| UserError::wrong(format!("cannot serve metrics at {address}: {e}")))
}

/// Refuses before the run what could only fail during it.
pub fn check_otlp(url: Option<&str>) -> anyhow::Result<()> {
    url.map(push::target).transpose().map(|_| ()).map_err(UserError::wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_on_loopback_unless_said_otherwise() {
        let read = |text: &str| address(text).map(|a| a.to_string());
        assert_eq!(read("9464"), Ok("127.0.0.1:9464".to_owned()));
        assert_eq!(read(":0"), Ok("127.0.0.1:0".to_owned()));
        assert_eq!(read("localhost:9464"), Ok("127.0.0.1:9464".to_owned()));
        assert_eq!(read("[::]:9464"), Ok("[::]:9464".to_owned()));
        assert!(read("everywhere").is_err() && read("70000").is_err());
    }
}
