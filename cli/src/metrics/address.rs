//! Where metrics are served.
//!
//! Invariant: a bare port is the loopback address; anything that others can reach is spelled out.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use anyhow::{Context, Result};

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address(SocketAddr);

impl Address {
    /// Listens.
    pub(crate) fn bind(self) -> Result<TcpListener> {
        TcpListener::bind(self.0).with_context(|| format!("cannot serve metrics at {self}"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let here = |port| Self((Ipv4Addr::LOCALHOST, port).into());
        let port = text.strip_prefix("localhost:").unwrap_or(text);
        if let Ok(port) = port.parse() {
            return Ok(here(port));
        }
        text.parse().map(Self).map_err(|_| {
            "write PORT for this machine alone, or ADDRESS:PORT, such as 0.0.0.0:9187 for everybody"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_port_is_for_this_machine_alone() {
        let read = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        for (text, expected) in [
            ("9187", "127.0.0.1:9187"),
            ("0", "127.0.0.1:0"),
            ("localhost:9187", "127.0.0.1:9187"),
            ("127.0.0.1:9187", "127.0.0.1:9187"),
            ("0.0.0.0:9187", "0.0.0.0:9187"),
            ("[::1]:9187", "[::1]:9187"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "",
            ":9187",
            "65536",
            "-1",
            "example.org:80",
            "127.0.0.1",
            "::1",
            "1 2",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
