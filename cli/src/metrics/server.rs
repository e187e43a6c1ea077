//! Serving metrics over HTTP: one thread, one request after the other.
//!
//! Invariants: it answers `GET /metrics` and nothing else; a request is at most 8 KiB and has two
//! seconds, whoever sends it; nothing that a client sends ends the command that runs beside it; the
//! thread ends before the server drops.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::progress::say;

/// Between two looks for a connection.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Between two times that what was recorded is put into buckets, which bounds the memory it takes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// For one request.
const TIME_LIMIT: Duration = Duration::from_secs(2);
const REQUEST_BYTES_MAX: usize = 8 << 10;

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves until it drops.
#[derive(Debug)]
pub(crate) struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Begins to serve, and says where.
    pub(crate) fn start(
        listener: TcpListener,
        recorder: &'static PrometheusHandle,
    ) -> Result<Self> {
        let address = listener
            .local_addr()
            .and_then(|address| listener.set_nonblocking(true).map(|()| address))
            .context("cannot serve metrics")?;
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || run(&listener, recorder, &asked))
            .context("cannot serve metrics")?;
        let reach = if address.ip().is_loopback() {
            ""
        } else {
            ", to everybody who reaches this machine"
        };
        say(&format!(
            "chainstore: metrics at http://{address}/metrics{reach}"
        ));
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the thread has been printed; there is nothing else to do about it.
            let _panicked = thread.join();
        }
    }
}

fn run(listener: &TcpListener, recorder: &PrometheusHandle, stop: &AtomicBool) {
    let mut upkeep_due = Instant::now() + UPKEEP_INTERVAL;
    while !stop.load(Ordering::Acquire) {
        match listener.accept() {
            // A client that goes away is its own affair.
            Ok((client, _)) => drop(answer(client, recorder)),
            // Nobody there, or no descriptor free: later.
            Err(_) => thread::park_timeout(POLL_INTERVAL),
        }
        if Instant::now() >= upkeep_due {
            recorder.run_upkeep();
            upkeep_due = Instant::now() + UPKEEP_INTERVAL;
        }
    }
}

fn answer(mut client: TcpStream, recorder: &PrometheusHandle) -> io::Result<()> {
    client.set_nonblocking(false)?;
    let request = read_request(&mut client)?;
    let response = respond(&request, || super::text(recorder));
    client.set_write_timeout(Some(TIME_LIMIT))?;
    client.write_all(&response)
}

/// The request up to the empty line behind its head, or what came of it.
fn read_request(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let until = Instant::now() + TIME_LIMIT;
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        client.set_read_timeout(Some(left))?;
        let read = client.read(&mut chunk)?;
        request.extend(chunk.iter().take(read));
        let is_whole = request.windows(4).any(|end| end == b"\r\n\r\n");
        if read == 0 || is_whole || request.len() > REQUEST_BYTES_MAX {
            return Ok(request);
        }
    }
}

/// The response to a request.
fn respond(request: &[u8], text: impl FnOnce() -> String) -> Vec<u8> {
    let line = request.split(|byte| *byte == b'\r').next();
    let line = line.and_then(|line| std::str::from_utf8(line).ok());
    let mut words = line.unwrap_or_default().split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let is_http = version.is_some_and(|version| version.starts_with("HTTP/1."));
    if !is_http || request.len() > REQUEST_BYTES_MAX {
        return message("400 Bad Request", "this is no HTTP request", "");
    }
    let path = target.and_then(|target| target.split('?').next());
    match (method, path) {
        (Some("GET"), Some("/metrics")) => response("200 OK", PROMETHEUS_TEXT, "", &text()),
        (Some("GET"), _) => message("404 Not Found", "metrics are at /metrics", ""),
        _ => message("405 Method Not Allowed", "only GET is", "Allow: GET\r\n"),
    }
}

fn message(status: &str, text: &str, more: &str) -> Vec<u8> {
    response(status, TEXT, more, &format!("{text}\n"))
}

fn response(status: &str, kind: &str, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         {more}Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: &str) -> String {
        let response = respond(request.as_bytes(), || "chainstore_a 1\n".to_owned());
        let response = String::from_utf8_lossy(&response).into_owned();
        let body = response.split("\r\n\r\n").nth(1).unwrap_or_default();
        let length = format!("Content-Length: {}\r\n", body.len());
        assert!(response.contains(&length), "{response}");
        response.split("\r\n").next().unwrap_or_default().to_owned()
    }

    #[test]
    fn only_get_of_the_metrics_is_answered_with_them() {
        for (request, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK"),
            ("GET /metrics?x=y HTTP/1.0\r\n\r\n", "200 OK"),
            ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
            ("GET /metrics/ HTTP/1.1\r\n\r\n", "404 Not Found"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
            ("GET /metrics\r\n\r\n", "400 Bad Request"),
            ("\u{1}\u{2}", "400 Bad Request"),
            ("", "400 Bad Request"),
        ] {
            assert_eq!(
                status(request),
                format!("HTTP/1.1 {expected}"),
                "{request:?}"
            );
        }
        let long = format!(
            "GET /metrics HTTP/1.1\r\nA: {}",
            "a".repeat(REQUEST_BYTES_MAX)
        );
        assert_eq!(status(&long), "HTTP/1.1 400 Bad Request");
    }
}
